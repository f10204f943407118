import Accessors
import Glibc
import Paging

/// Removes a state file, once a person is sure of it.
struct StateDiscard {
    private let file: StateFile
    private let isSure: Bool

    /// - Parameter isSure: Do not ask.
    init(_ file: StateFile, isSure: Bool) {
        self.file = file
        self.isSure = isSure
    }

    func run() throws {
        print(try contents, terminator: "")
        if !isSure { try ask() }
        try file.discard()
        print("\(file.path.string.withoutControls): removed")
    }

    /// What would be lost. A damaged state can be removed, and what is no state cannot.
    private var contents: String {
        get throws {
            do {
                return try file.look(canHaveHoles: true).map { StateReport($0).text } ?? ""
            } catch {
                guard case .damaged(let damage) = error.problem, damage != .noState else { throw error }
                return "\(damage.text)\n"
            }
        }
    }

    private func ask() throws {
        let name = file.path.string.withoutControls
        guard isatty(STDIN_FILENO) == 1 else {
            throw ToolFailure("\(name): nobody can be asked, because standard input is no terminal; add --yes")
        }
        print("Remove \(name), with all that is owed to images? Type yes: ", terminator: "")
        fflush(nil)
        guard readLine() == "yes" else { throw ToolFailure("\(name): not removed") }
    }
}
