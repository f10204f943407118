import TestSupport

@testable import flexpage

/// An nbdkit with a plugin of its own, on a Unix socket.
final class Nbdkit {
    private let scratch = Scratch()
    private let process: Subprocess

    init(_ arguments: [String]) throws {
        let scratch = self.scratch
        process = try Subprocess(
            ["nbdkit", "-f", "-U", scratch.path("socket"), "-P", scratch.path("pid")] + arguments,
            outputPath: scratch.path("log"))
        let process = self.process
        let _: Bool = try Patience.wait(seconds: 60, "nbdkit does not serve: \(process.output)") {
            (try? Files.bytes(scratch.path("pid")))?.isEmpty == false ? true : nil
        }
    }

    func uri(_ export: String = "") -> String { "nbd+unix:///\(export)?socket=\(scratch.path("socket"))" }

    func connect(count: Int, export: String = "") throws -> (export: Export, connections: [Connection]) {
        try LibNBDServer(uri: uri(export), stop: -1).connect(count: count, milliseconds: 60_000)
    }

    /// Why it cannot be connected, without the URI in front.
    func complaint(export: String = "") -> String {
        do {
            _ = try connect(count: 1, export: export)
            return "none"
        } catch {
            return String("\(error)".dropFirst(uri(export).count + 2))
        }
    }
}
