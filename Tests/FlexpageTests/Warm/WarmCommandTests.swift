import Accessors
import Glibc
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import flexpage

/// `flexpage warm`, as a program. With a server it runs in WarmToolTests.
@Suite("flexpage warm") struct WarmCommandTests {
    /// The program, which is built beside the tests.
    private static let program: String = {
        let tests = Files.target("/proc/self/exe") ?? ""
        let bundle = CommandLine.arguments.first { $0.contains(".xctest") } ?? tests
        return "\(FilePath(bundle).removingLastComponent())/flexpage"
    }()

    private func warm(_ arguments: String...) throws -> (status: Int32, output: String) {
        try Subprocess.run([Self.program, "warm"] + arguments)
    }

    private let scratch = Scratch()
    private var list: String { scratch.path("list") }

    private func image(_ size: Int) throws -> String {
        try Files.resize(scratch.path("image"), to: size)
        return scratch.path("image")
    }

    /// What a trace leaves in memory, for any image of this size.
    @Test func trace() throws {
        let trace = TemporaryFile("boot.csv", "R,0,4096\nR,1048576,16384\nW,8192,4096\nR,0,4096\n")
        let made = try warm(list, "--trace", trace.path, "--image", try image(3 << 20))
        #expect(made.output == "\(list): 24 KiB in 3 runs\n")
        let found = try #require(try WarmFile(list).read())
        #expect(found.entries.map(\.name) == [""] && found.entries.map(\.size) == [3 << 20])
        let runs = Array(found.entries[0].runs)
        #expect(Set(runs.flatMap(\.pages)) == [0, 2, 256, 257, 258, 259])
    }

    /// With little memory only what is warm at the end is in the list.
    @Test func littleMemory() throws {
        let lines = (0..<2000).map { "R,\($0 * 4096),4096\n" }.joined()
        let trace = TemporaryFile("long.csv", lines)
        #expect(try warm(list, "--trace", trace.path, "--image", try image(8 << 20), "--memory", "2M").status == 0)
        let runs = try #require(try WarmFile(list).read()).entries[0].runs
        let count = runs.reduce(0) { $0 + $1.pages.count }
        #expect(count > 200 && count < 512)
        #expect(runs.contains { $0.pages.contains(1999) })
    }

    /// Each mistake is a sentence, and no file is made.
    @Test func mistakes() throws {
        let one = TemporaryFile("one.csv", "R,4194304,4096\n")
        let two = TemporaryFile(
            "two.log",
            """
            2026-11-23 06:01:54.000000 connection=1 Connect export="a" tls=0
            2026-11-23 06:01:54.000000 connection=2 Connect export="b" tls=0
            2026-11-23 06:01:54.000000 connection=1 Read id=1 offset=0x0 count=0x1000 ...
            2026-11-23 06:01:54.000000 connection=2 Read id=1 offset=0x0 count=0x1000 ...

            """)
        for (words, expected) in [
            ([], "expected --trace or --server"), (["--trace", one.path], "--trace needs --image"),
            (["--trace", one.path, "--server", "x", "--image", "y"], "expected --trace or --server"),
            (["--trace", one.path, "--image", try image(1 << 20)], "has 1048576 bytes"),
            (["--trace", one.path, "--image", "/nonexistent"], "the size cannot be found out"),
            (["--trace", two.path, "--image", try image(1 << 20)], "requests to 2 images; expected one"),
            (["--trace", one.path, "--image", "x", "--memory", "1K"], "--memory must be one size"),
            (["--server", "/nonexistent"], "cannot connect"), (["--server", "x", "--image", "y"], "is for --trace"),
        ] {
            let refused = try Subprocess.run([Self.program, "warm", list] + words)
            #expect(refused.status != 0)
            #expect(refused.output.contains(expected), "\(words): \(refused.output)")
        }
        #expect(access(list, F_OK) != 0)
        let written = try warm("/nonexistent/list", "--trace", one.path, "--image", try image(8 << 20))
        #expect(written.status != 0 && written.output.contains("/nonexistent/list: "))
    }
}
