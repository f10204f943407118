import Glibc
import Testing

@testable import flexpage

/// Traces come from files that may be packed; a bad one is reported.
@Suite struct TraceSourceTests {
    /// Packed by the system's tools, it is the same trace.
    @Test(arguments: [("gzip", ".gz"), ("zstd", ".zst")]) func packed(tool: String, ending: String) throws {
        let file = TemporaryFile("trace.csv", (0..<10_000).map { "R,\($0 * 512),512\n" }.joined())
        let packed = TemporaryFile("trace.csv\(ending)")
        try #require(system("\(tool) -c \(file.path) > \(packed.path)") == 0, "needs \(tool)")
        #expect(try Trace(path: packed.path).requests == Trace(path: file.path).requests)
        #expect(try Trace(path: packed.path).name == "trace")
    }

    @Test(arguments: [("gzip", ".gz"), ("zstd", ".zst")]) func damaged(tool: String, ending: String) {
        #expect(complaint("this is not packed", name: "t\(ending)") == ": \(tool) cannot decompress it (exit status 1)")
    }

    @Test func missing() {
        #expect(throws: TraceError("/no/such/trace", "cannot be opened: No such file or directory")) {
            try Trace(path: "/no/such/trace")
        }
    }

    @Test func aFolderIsNoTrace() {
        #expect(throws: TraceError("/tmp", "cannot be read: Is a directory")) { try Trace(path: "/tmp") }
    }

    @Test func notATrace() {
        #expect(complaint("hello")?.hasPrefix(":1: expected a trace: op,offset,length") == true)
        #expect(complaint("hello")?.hasSuffix("found \"hello\"") == true)
        #expect(complaint() == ": it has no requests that read or write")
        #expect(complaint("op,offset,length") == ": it has no requests that read or write")
        let line = String(repeating: "x", count: 70_000)
        #expect(complaint("R,0,1", line) == ":2: line longer than 65536 bytes; expected a trace")
    }
}
