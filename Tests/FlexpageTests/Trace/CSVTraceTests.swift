import Testing

@testable import flexpage

/// Requests as `op,offset,length`.
@Suite struct CSVTraceTests {
    @Test(arguments: [true, false]) func withAndWithoutItsHeader(hasHeader: Bool) throws {
        let trace = try Trace(lines: (hasHeader ? ["op,offset,length"] : []) + ["R,512,4096", "W,0,8192"])
        #expect(
            trace.requests == [
                TraceRequest(.read, offset: 512, length: 4096)!, TraceRequest(.write, offset: 0, length: 8192)!,
            ])
        #expect(trace.imageSizes == [1 << 20])
        #expect(trace.name == "trace")
    }

    /// Requests of no bytes are counted and left out. Empty lines and DOS line ends do not matter.
    @Test func whatDoesNotMatter() throws {
        let trace = try Trace(lines: ["R,0,4096\r", "", "R,4096,0", "r,1048576,1"])
        #expect(trace.requests.count == 2 && trace.leftOut == 1)
        #expect(trace.imageSizes == [2 << 20])
    }

    /// A last line without an end of line is a line. So are many lines that do not fit into a buffer.
    @Test func endsAndBuffers() throws {
        let file = TemporaryFile("many.csv", (0..<20_000).map { "R,\($0),1" }.joined(separator: "\n"))
        let trace = try Trace(path: file.path)
        #expect(trace.requests.map(\.offset) == (0..<20_000).map { $0 })
    }

    /// The error for a line that cannot be understood names the line and the expected form.
    @Test(arguments: ["R,0", "X,0,4096", "R,-4096,4096", "R,0,-1", "R,0x0,1", "R,0,4096,1", "R,9223372036854775807,1"])
    func badLines(line: String) {
        #expect(
            complaint("R,0,4096", "R,0,4096", line)
                == ":3: expected op,offset,length (R or W, bytes, bytes), found \"\(line)\"")
    }
}
