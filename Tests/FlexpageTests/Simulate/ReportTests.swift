import Testing

@testable import flexpage

/// The forms in which figures are printed.
@Suite struct ReportTests {
    private var report: Report {
        var report = Report(writes: false)
        for memory in [16 << 20, 64 << 20] {
            report.add(figures(memory, .fixed, Traffic(reads: 1000, bytesRead: 4_096_000)))
            report.add(figures(memory, .flexible, Traffic(reads: 250, bytesRead: 8_192_000)))
        }
        return report
    }

    private func figures(_ memory: Int, _ way: PagingWay, _ traffic: Traffic) -> Figures {
        Figures(
            trace: "a\"b", memory: memory, frames: memory / 4096, way: way, requests: 500, pagesRead: 3000,
            misses: 1000, readsAhead: way == .flexible ? 50 : 0, traffic: traffic)
    }

    @Test func table() {
        let lines = report.table.split(separator: "\n")
        #expect(lines.count == 7)
        #expect(lines[0].hasPrefix("trace  memory  pages  requests") && lines[0].hasSuffix("KiB per read  I/Os saved"))
        #expect(
            lines[1].split(separator: " ")
                == ["a\"b", "16M", "4", "KiB", "500", "3000", "0.3333", "1000", "1000", "3.9", "4.0"])
        #expect(
            lines[2].split(separator: " ")
                == ["a\"b", "16M", "flex", "500", "3000", "0.3333", "250", "200", "7.8", "32.0", "75.0", "%"])
        #expect(lines[1].count < lines[0].count && lines[2].count == lines[0].count)
        #expect(lines[5] == "mean miss ratio, 4 KiB: 0.3333")
    }

    @Test func json() {
        let lines = report.json.split(separator: "\n")
        #expect(lines.count == 6 && lines[0] == "[" && lines[5] == "]")
        #expect(
            lines[4]
                == "  {\"trace\": \"a\\\"b\", \"memory\": 67108864, \"frames\": 16384, \"pages\": \"flexible\", "
                + "\"requests\": 500, \"pagesRead\": 3000, \"misses\": 1000, \"missRatio\": 0.333333, \"reads\": 250, "
                + "\"readsAhead\": 50, \"bytesRead\": 8192000, \"writes\": 0, \"bytesWritten\": 0, "
                + "\"operationsSaved\": 0.750000}")
    }

    /// The plot has a curve for each trace and each way of paging on both sides. A file that cannot be written is
    /// reported.
    @Test func plot() throws {
        let file = TemporaryFile("plot.svg")
        try Plot(report.figures).write(to: file.path)
        #expect(file.contents.hasPrefix("<svg ") && file.contents.hasSuffix("</svg>\n"))
        #expect(file.contents.split(separator: "\n").count { $0.hasPrefix("<polyline") } == 4)
        #expect(throws: TraceError("/no/such/folder.svg", "cannot be written: No such file or directory")) {
            try Plot(report.figures).write(to: "/no/such/folder.svg")
        }
    }

    @Test func numbers() {
        #expect(0.05.text(digits: 1) == "0.1")
        #expect((-1.25).text(digits: 2) == "-1.25")
        #expect(2.999.text(digits: 2) == "3.00")
        #expect(12.0.text(digits: 0) == "12")
        #expect(Double.nan.text(digits: 1) == "-")
    }

    @Test func amountsOfMemory() {
        #expect(MemorySizes(argument: "16M,1G,512K,4096")?.sizes.map(\.bytes) == [16 << 20, 1 << 30, 512 << 10, 4096])
        for text in ["", "16M,", "M", "-1M", "16m", "0", "1.5M", "99999999999G"] {
            #expect(MemorySizes(argument: text) == nil, "\(text)")
        }
        #expect(MemorySizes(argument: "1024K,100")?.defaultValueDescription == "1M,100")
    }
}
