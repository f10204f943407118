/// Where connections come from: LibNBDServer, or a script in tests.
protocol ExportServer {
    /// Connects `count` times. Throws AttachError if it cannot within `milliseconds`, and Stopped if a signal arrives.
    func connect(count: Int, milliseconds: Int) throws -> (export: Export, connections: [Connection])
}

/// A signal that ends the program has arrived during a wait.
struct Stopped: Error {}
