import Accessors
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import flexpage

/// `flexpage state`, as a program.
@Suite("flexpage state", .enabled(if: LeftState.isPossible, "\(LeftState.needs)")) struct StateCommandTests {
    /// The program, which is built beside the tests.
    private static let program: String = {
        let tests = Files.target("/proc/self/exe") ?? ""
        let bundle = CommandLine.arguments.first { $0.contains(".xctest") } ?? tests
        return "\(FilePath(bundle).removingLastComponent())/flexpage"
    }()

    private func flexpage(_ arguments: String...) throws -> (status: Int32, output: String) {
        try Subprocess.run([Self.program, "state"] + arguments)
    }

    /// Shows what is in the file, and changes nothing.
    @Test func show() throws {
        let left = try LeftState()
        for _ in 0..<2 {
            let shown = try flexpage(left.path)
            #expect(shown.status == 0)
            let lines = shown.output.split(separator: "\n").map(String.init)
            #expect(lines.count == 3)
            #expect(lines[0].hasPrefix("server ") && lines[0].contains("last alive 2"))
            #expect(lines[1].split(separator: " ") == ["image", "owed", "clean"])
            #expect(lines[2].split(separator: " ").map(String.init) == [left.image, "12K", "4K"])
        }
        #expect(try left.written.isEmpty)
    }

    /// Writes out what is owed, once.
    @Test func writeOut() throws {
        let left = try LeftState()
        let written = try flexpage(left.path, "--write-out")
        #expect(written.output == "\(left.image): 12K written out and durable\n")
        #expect(written.status == 0)
        #expect(try left.written == [3, 4, 9])
        #expect(try flexpage(left.path, "--write-out").output == "\(left.path): no image is owed anything\n")
        #expect(try flexpage(left.path).output.contains("  0  "))
        #expect(left.exists)
    }

    /// An image that others have changed is left alone, unless a person says otherwise.
    @Test func changed() throws {
        let left = try LeftState()
        usleep(2_100_000)
        try Files.write([1], to: left.image)
        let refused = try flexpage(left.path, "--write-out")
        #expect(refused.status == 1)
        #expect(refused.output.hasPrefix("\(left.image): others have changed it: "))
        #expect(refused.output.hasSuffix("; 12K are still owed to it, and --even-if-changed would write them\n"))
        #expect(try left.written.isEmpty)
        #expect(try flexpage(left.path, "--write-out", "--even-if-changed").status == 0)
        #expect(try left.written == [3, 4, 9])
    }

    /// The path of an image that is gone is told, and what it is owed stays.
    @Test func missing() throws {
        let left = try LeftState()
        unlink(left.image)
        let refused = try flexpage(left.path, "--write-out")
        #expect(refused.status == 1)
        #expect(refused.output.contains("\(left.image): there is no such file"))
        #expect(refused.output.hasSuffix("; 12K are still owed to it\n"))
    }

    /// While a server has the file, nothing is done.
    @Test(arguments: [[], ["--write-out"], ["--discard", "--yes"]]) func held(arguments: [String]) throws {
        let left = try LeftState()
        let server = try StateFile(FilePath(left.path))
        let refused = try Subprocess.run([Self.program, "state", left.path] + arguments)
        #expect(refused.status == 1)
        #expect(refused.output.contains("\(left.path): another server (process \(getpid())) has it; "))
        #expect(left.exists)
        withExtendedLifetime(server) {}
    }

    /// Killed while it writes, it can be run again: what it has changed itself is not foreign, and what the kernel
    /// still writes for it is waited for.
    @Test(.enabled(if: ThrottleGroup.isAvailable, "\(ThrottleGroup.needs)")) func killed() throws {
        let left = try LeftState(owing: Array(stride(from: 0, to: 120, by: 2)), clean: [])
        // Longer than a server's own writes can come after its last sign of life.
        usleep(1_500_000)
        let group = try ThrottleGroup(near: left.image)
        try group.limit(bytesPerSecond: 64 << 10)
        let go = "\(left.image).go"
        let tool = try Subprocess(
            [
                "sh", "-c",
                "while ! [ -e \(go) ]; do sleep 0.01; done; exec \(Self.program) state \(left.path) --write-out",
            ], outputPath: "\(left.image).log")
        try group.take(tool.pid)
        try Files.write([], to: go)
        usleep(1_500_000)
        #expect(!tool.hasEnded)
        kill(tool.pid, SIGKILL)
        _ = try tool.wait()
        try group.limit(bytesPerSecond: 1 << 30)
        let again = try flexpage(left.path, "--write-out")
        #expect(again.status == 0, "\(again.output)")
        #expect(try left.written == Array(stride(from: 0, to: 120, by: 2)))
    }

    /// An image that is owed nothing, and of which a failed sync would lose something.
    @Test func unsynced() throws {
        let left = try LeftState(owing: [], clean: [], unsynced: true)
        let note = "\(left.image): changes that are not in memory may not be durable; --write-out syncs it\n"
        #expect(try flexpage(left.path).output.hasSuffix(note))
        #expect(try flexpage(left.path, "--discard").output.contains(note))
        #expect(try flexpage(left.path, "--write-out").output == "\(left.image): synced\n")
        #expect(try flexpage(left.path, "--write-out").output == "\(left.path): no image is owed anything\n")
        #expect(try !flexpage(left.path).output.contains("durable"))
    }

    // MARK: Discarding

    /// Nobody can be asked without a terminal.
    @Test func discard() throws {
        let left = try LeftState()
        let refused = try flexpage(left.path, "--discard")
        #expect(refused.status == 1)
        #expect(refused.output.contains("12K"))
        #expect(refused.output.contains("standard input is no terminal; add --yes\n"))
        #expect(left.exists)
        #expect(try flexpage(left.path, "--discard", "--yes").status == 0)
        #expect(!left.exists)
        #expect(try left.written.isEmpty)
    }

    /// At a terminal it takes a "yes".
    @Test(.enabled(if: Subprocess.exists("script"), "there is no script(1)"), arguments: ["yes", "y", ""])
    func ask(answer: String) throws {
        let left = try LeftState()
        let command = "script -qec '\(Self.program) state \(left.path) --discard' /dev/null"
        let result = try Subprocess.run("sh", "-c", "(sleep 1; echo '\(answer)'; sleep 1) | \(command)")
        #expect(result.output.contains("Type yes: "))
        #expect(left.exists == (answer != "yes"))
        #expect((result.status == 0) == (answer == "yes"))
    }

    /// A damaged state can be removed, but not read. A file that is no state is not removed.
    @Test func damaged() throws {
        let left = try LeftState()
        try left.damage(at: 16)
        for arguments in [[], ["--write-out"]] {
            let refused = try Subprocess.run([Self.program, "state", left.path] + arguments)
            #expect(refused.status == 1)
            #expect(refused.output.contains("it is not as long as it says; `flexpage state \(left.path) --discard`"))
        }
        try left.damage(at: 0)
        #expect(try flexpage(left.path, "--discard", "--yes").status == 1)
        #expect(left.exists)
        try left.damage(at: 0)
        #expect(try flexpage(left.path, "--discard", "--yes").status == 0)
        #expect(!left.exists)
    }

    /// What a server that died early has left.
    @Test func nothing() throws {
        let left = try LeftState()
        try Files.resize(left.path, to: 0)
        #expect(try flexpage(left.path).output == "\(left.path): there is nothing in it\n")
        unlink(left.path)
        let refused = try flexpage(left.path)
        #expect(refused.status == 1 && refused.output.contains("there is no such state file"))
    }

    /// Options that make no sense together.
    @Test(arguments: [["--write-out", "--discard"], ["--even-if-changed"], ["--yes"]])
    func options(arguments: [String]) throws {
        #expect(throws: (any Error).self) { try StateCommand.parse(["/x"] + arguments) }
    }

    /// Names with control characters do not reach the terminal.
    @Test func names() throws {
        let path = "/dev/shm/flexpage\u{1B}[31m-\(getpid())"
        let shown = try flexpage(path)
        #expect(shown.status == 1)
        #expect(!shown.output.contains("\u{1B}") && shown.output.contains("\\x1b[31m"))
    }
}
