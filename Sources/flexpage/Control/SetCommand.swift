import Accessors
import ArgumentParser
import FoundationEssentials

/// `flexpage set`: changes what a server may use while it runs.
struct SetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set",
        abstract: "Change what a server may use while it runs: memory, and readahead of an export.",
        discussion: """
            The server must run with control=PATH. limit=SIZE limits its memory, up to memory=. readahead=SIZE sets \
            the maximum readahead of the exports that clients have open, up to readahead=; off for none.
            """)

    @Argument(help: "The socket that control= names.", completion: .file())
    var path: String

    @Argument(help: "limit=SIZE, readahead=SIZE or readahead=off.", transform: Setting.init(parsing:))
    var settings: [Setting]

    @Option(help: "The export that readahead= is for.")
    var export: String?

    func validate() throws {
        guard !settings.isEmpty else { throw ValidationError("nothing is to be set; for example, limit=64M") }
    }

    func run() throws {
        let server = try ControlConnection(path)
        for setting in settings {
            switch setting {
            case .limit(let size): try limit(size, server)
            case .readahead(let size): try readahead(size, server)
            }
        }
    }

    private struct Limited: Decodable {
        let limitBytes, heldBytes: UInt64
        let isReached: Bool
        let obstacle: String?
    }

    private func limit(_ size: String, _ server: ControlConnection) throws {
        let answer = try server.decode(Limited.self, try server.ask("limit \(size)", patience: 60))
        print("limit: \(Amount.bytes(answer.limitBytes)), held: \(Amount.bytes(answer.heldBytes))")
        guard answer.isReached else {
            throw ToolFailure("limit: not reached yet: \(answer.obstacle ?? "the server goes on with it")")
        }
    }

    private struct ReadAhead: Decodable {
        let readaheadBytes: UInt64
    }

    private func readahead(_ size: String, _ server: ControlConnection) throws {
        let names = if let export { [export] } else { try server.figures().images.map(\.name) }
        guard !names.isEmpty else {
            throw ToolFailure("readahead: no client has an export open; name one with --export")
        }
        for name in names {
            let answer = try server.decode(
                ReadAhead.self, try server.ask("readahead \(ControlConnection.word(name)) \(size)"))
            let bytes = answer.readaheadBytes
            print("\(name.withoutControls): readahead \(bytes == 0 ? "off" : Amount.bytes(bytes))")
        }
    }
}
