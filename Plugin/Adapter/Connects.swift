import Accessors

/// The clients that are being connected: opening an image may hang with its disk, and nbdkit's end waits for it.
///
/// Thread rules: any thread, any time. O(clients being connected).
final class Connects: Sendable {
    private struct State {
        var names: [UInt64: String] = [:]
        var begun: UInt64 = 0
        var ended: UInt64 = 0
    }

    private let state = Guarded(State())

    /// A client is being connected to the export `name`.
    /// - Returns: The number that ends it.
    func begin(_ name: String) -> UInt64 {
        state.withLock { state in
            state.begun += 1
            state.names[state.begun] = name
            return state.begun
        }
    }

    /// A client is connected or refused.
    func end(_ number: UInt64) {
        state.withLock { state in
            state.names[number] = nil
            state.ended += 1
        }
    }

    /// How many clients have been connected or refused.
    var ended: UInt64 { state.withLock(\.ended) }

    /// The export of each client that is being connected, in order.
    var underWay: [String] { state.withLock { $0.names.values.sorted() } }
}
