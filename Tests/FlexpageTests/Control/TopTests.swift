import ArgumentParser
import Testing

@testable import flexpage

/// What `flexpage top` makes of two looks at a server's figures.
@Suite struct TopTests {
    private static let mebibyte: UInt64 = 1 << 20

    private func figures(_ names: [String], _ values: [String: UInt64]) throws -> ServerFigures {
        var sample = SampleFigures(names, values)
        sample.isInTrouble = false
        return try sample.figures()
    }

    private let before: [String: UInt64] = [
        "hits": 1000, "zero_hits": 0, "misses": 100, "fills": 50, "filled_bytes": 1 << 20, "writes": 10,
        "written_bytes": 0, "failed_fills": 0, "failed_writes": 0, "waits": 0, "prefetched_bytes": 0,
        "prefetched_in_vain_bytes": 0, "bound_bytes": 64 << 20, "pages_bytes": 60 << 20, "in_use_bytes": 34 << 20,
        "dirty_bytes": 10 << 20, "known_zero_bytes": 3 << 30, "held_bytes": 12 << 20, "dirty_age_ms": 2500,
        "memory.held_bytes": 64 << 20,
    ]
    private var now: [String: UInt64] {
        before.merging(
            ["hits": 1896, "zero_hits": 4, "misses": 200, "fills": 60, "filled_bytes": 3 << 20, "written_bytes": 8192]
        ) { $1 }
    }

    private func report(_ order: TopOrder = .name) throws -> TopReport {
        TopReport(from: try figures(["a", "b"], before), to: try figures(["b", "a"], now), seconds: 2, by: order)
    }

    /// Rates are what has been counted between the looks, by their time.
    @Test func rates() throws {
        let report = try report()
        #expect(report.all.hitRatio == 0.9)
        #expect(report.all.readBytes == 500 * 4096)
        #expect(report.all.filledBytes == Double(Self.mebibyte) && report.all.fills == 5)
        #expect(report.all.writtenBytes == 4096 && report.all.errors == 0)
        #expect(report.images.map(\.name) == ["a", "b"])
        #expect(report.images[0].rates == report.all)
        #expect(report.memory.tableBytes == 4 << 20 && report.memory.dirtyBytes == 10 << 20)
        #expect(report.memory.cleanBytes == 20 << 20 && report.memory.freeBytes == 30 << 20)
    }

    /// An image that is new, or has been opened anew, counts from 0; so does a server that has been restarted. Nothing
    /// has a ratio without a page.
    @Test func beginsAnew() throws {
        let fresh = try figures(["a"], now.merging(["hits": 7, "zero_hits": 0, "misses": 3, "fills": 1]) { $1 })
        let report = TopReport(from: try figures(["a"], before), to: fresh, seconds: 1, by: .name)
        #expect(report.images[0].rates.readBytes == 10 * 4096 && report.images[0].rates.fills == 1)
        let idle = TopReport(from: fresh, to: fresh, seconds: 1, by: .name)
        #expect(idle.all.hitRatio == nil && idle.images[0].fillTimes == .init(p50Us: nil, p99Us: nil))
    }

    /// Two images of one name are compared each with itself.
    @Test func equalNames() throws {
        let report = TopReport(
            from: try figures(["a", "a"], before), to: try figures(["a", "a"], now), seconds: 2, by: .name)
        #expect(report.images.map(\.name) == ["a", "a (2)"])
        #expect(report.images.allSatisfy { $0.rates == report.all })
    }

    /// Half of the calls, and 99 of 100, took at most so long.
    @Test func times() throws {
        var (first, then) = (SampleFigures(["a"]), SampleFigures(["a"]))
        first.latency = [UInt64](repeating: 5, count: 28)
        then.latency = first.latency
        then.latency[4] += 60
        then.latency[9] += 38
        then.latency[12] += 2
        let image = TopReport(from: try first.figures(), to: try then.figures(), seconds: 1, by: .name).images[0]
        #expect(image.fillTimes == .init(p50Us: 16, p99Us: 4096))
        #expect(image.flushTimes == image.fillTimes)
    }

    /// Each key sorts by what its name says, and by names what is equal.
    @Test func orders() throws {
        let (quiet, busy) = (SampleFigures(["b", "a"]), SampleFigures(["b", "c", "a"]))
        let report = TopReport(from: try quiet.figures(), to: try busy.figures(), seconds: 1, by: .read)
        #expect(report.images.map(\.name) == ["c", "a", "b"], "c has read since it was opened")
        let named = TopReport(from: try quiet.figures(), to: try busy.figures(), seconds: 1, by: .name)
        #expect(named.images.map(\.name) == ["a", "b", "c"])
        #expect(Set(TopOrder.allCases.map(\.key)).count == TopOrder.allCases.count, "a key of its own for each")
        for order in TopOrder.allCases { #expect(TopOrder(key: order.key) == order) }
        #expect(TopOrder(key: 0x51) == nil)
    }

    /// The whole screen.
    @Test func screen() throws {
        let lines = TopScreen(try report(), by: .name, width: 100, height: 24).lines
        let bar =
            String(repeating: "#", count: 31) + String(repeating: "*", count: 15) + String(repeating: "=", count: 6)
        #expect(
            lines == [
                "flexpage 0.2.0  process 1  2 exports by name  over 2.0s",
                "[\(bar)\(String(repeating: " ", count: 46))]",
                "memory 64M: # clean 20M  * dirty 10M  = tables 4.0M  free 30M  zeroes 3.0G",
                "hits 90.0 %  read 2.0M/s  from images 1.0M/s in 5.0/s  to images 4.0K/s in 0/s",
                "",
                "EXPORT  HIT%  READ  FILL  p50  p99  WRITE  FLUSH  MEM  DIRTY   AGE",
                "a       90.0  2.0M  1.0M    -    -   4.0K      -  12M    10M  2.5s",
                "b       90.0  2.0M  1.0M    -    -   4.0K      -  12M    10M  2.5s",
            ])
    }

    /// A memory that is limited is the whole of the bar.
    @Test func limited() throws {
        let half = now.merging(["memory.held_bytes": 44 << 20]) { $1 }
        let report = TopReport(from: try figures([], half), to: try figures([], half), seconds: 1, by: .name)
        #expect(report.memory.freeBytes == 10 << 20)
        let lines = TopScreen(report, by: .name, width: 90, height: 24).lines
        #expect(lines[2].hasPrefix("memory 44M of 64M: # clean 20M"))
        #expect(lines[1].count { $0 == " " } == 20)
    }

    /// Nothing is longer than a line, or than the screen; and a name is only a name.
    @Test func smallScreens() throws {
        let names = (0..<40).map { "\($0)\\u001b[2J" + String(repeating: "x", count: 50) }
        let sample = try SampleFigures(names).figures()
        let report = TopReport(from: sample, to: sample, seconds: 1, by: .name)
        let lines = TopScreen(report, by: .name, width: 70, height: 12).lines
        #expect(lines.count == 12 && lines.allSatisfy { $0.count <= 70 })
        #expect(lines.last == "  and 35 more")
        #expect(!lines.joined().contains("\u{1B}"))
        let wide = TopScreen(report, by: .name, width: 120, height: 50).lines
        #expect(wide[5].hasSuffix("STATE") && wide[6].hasSuffix("TROUBLE") && wide.count == 46)
        #expect(TopScreen(report, by: .name, width: 1, height: 1).lines.count == TopScreen.minHeight)
    }

    /// Amounts have few characters.
    @Test func amounts() {
        #expect(
            [0, 512, 1024, 10_240, 1_048_575, 1 << 60].map { Amount.bytes(UInt64($0)) }
                == ["0", "512", "1.0K", "10K", "1024K", "1.0E"])
        #expect([0, 0.26, 12.4, 9999, 12_000].map { Amount.count($0) } == ["0", "0.3", "12", "9999", "12k"])
        #expect(
            [nil, 8, 2048, 16_384, 2_097_152].map { Amount.microseconds($0) } == ["-", "8us", "2.0ms", "16ms", "2.1s"])
        #expect([0.25, 12, 300, 7200].map { Amount.seconds($0) } == ["0.3s", "12s", "5m", "2h"])
        #expect(Amount.percent(0.12345) == "12.3" && Amount.percent(nil) == "-")
    }

    /// What is to be set is checked as far as the tool can.
    @Test func settings() throws {
        #expect(try Setting(parsing: "limit=64M") == .limit("64M"))
        #expect(try Setting(parsing: "readahead=off") == .readahead("off"))
        for wrong in ["limit", "limit=6 4", "memory=1G", "=1", ""] {
            #expect(throws: ValidationError.self, "\(wrong)") { try Setting(parsing: wrong) }
        }
        #expect(ControlConnection.word("a b%\u{e9}") == "a%20b%25%c3%a9")
    }
}
