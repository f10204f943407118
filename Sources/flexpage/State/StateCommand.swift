import Accessors
import ArgumentParser
import Glibc
import Paging
import SystemPackage

/// `flexpage state`: shows what a server has left in its state file, and brings it to the images or removes it.
struct StateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "state",
        abstract: "Show what a server has left in its state file, or write it out to the images.",
        discussion: """
            A server with state=PATH leaves its memory in that file, whatever ends it. The next server with the same \
            state=PATH takes it over. Without one, --write-out brings to the images what they are owed.
            """)

    @Argument(help: "The file that state= names.", completion: .file())
    var path: String

    @Flag(help: "Write to the images what they are owed, and sync them. Clean pages stay in the file.")
    var writeOut = false

    @Flag(help: "With --write-out: also to images that others have changed since.")
    var evenIfChanged = false

    @Flag(help: "Remove the file. What it owes to images is lost.")
    var discard = false

    @Flag(help: "With --discard: do not ask.")
    var yes = false

    func validate() throws {
        if writeOut, discard { throw ValidationError("--write-out and --discard exclude each other") }
        if evenIfChanged, !writeOut { throw ValidationError("--even-if-changed needs --write-out") }
        if yes, !discard { throw ValidationError("--yes needs --discard") }
    }

    func run() throws {
        do {
            let file = try StateFile(FilePath(path), create: false) { ToolFailure.print($0) }
            if discard { return try StateDiscard(file, isSure: yes).run() }
            guard let state = try file.look(canHaveHoles: true) else {
                return print("\(path.withoutControls): there is nothing in it")
            }
            if writeOut { return try write(file, state) }
            print(StateReport(state).text, terminator: "")
        } catch let error as StateError {
            throw ToolFailure("\(error)")
        }
    }

    private func write(_ file: StateFile, _ state: KeptState) throws {
        let mark = try file.takeCharge(of: state) { ToolFailure.print($0) }
        for doubt in state.imagesInUse.compactMap(\.image.doubt) { ToolFailure.print(doubt) }
        let outcomes = StateWriteOut(state, mark).run(evenIfChanged: evenIfChanged)
        for outcome in outcomes {
            if outcome.writtenPages > 0 || outcome.failure == nil { print(StateReport.written(outcome)) }
            if let failure = outcome.failure { ToolFailure.print(StateReport.notWritten(outcome, failure)) }
        }
        if outcomes.isEmpty { print("\(path.withoutControls): no image is owed anything") }
        if outcomes.contains(where: { $0.failure != nil }) { throw ExitCode.failure }
    }
}
