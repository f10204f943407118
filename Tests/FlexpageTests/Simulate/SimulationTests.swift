import Paging
import Testing

@testable import flexpage

/// What a simulation counts, if it is known without a simulation.
@Suite struct SimulationTests {
    private static let mebibyte = 1 << 20

    private func run(
        _ trace: Trace, memory: Int = mebibyte, _ way: PagingWay = .fixed, writes: Bool = false
    ) throws -> Figures {
        try Simulation(memory: memory, way: way, writes: writes).run(trace)
    }

    /// Everything that fits into memory misses once, whatever the order.
    @Test(arguments: [PagingWay.fixed, .flexible]) func whatFitsMissesOnce(way: PagingWay) throws {
        var pages: [Int] = []
        for round in 0..<5 { pages += (0..<256).map { ($0 * 37 + round) % 256 * 1000 } }
        let figures = try run(try Trace(reading: pages), way)
        #expect(figures.frames == 256, "as many pages as the memory has base pages, without its tables")
        #expect(figures.pagesRead == 1280 && figures.misses == 256)
        #expect(figures.missRatio == 0.2)
        #expect(figures.traffic == Traffic(reads: 256, bytesRead: SimulationTests.mebibyte))
    }

    /// What is never used again always misses. If it is a stream, reading ahead leaves little to wait for, and reads it
    /// in large pieces.
    @Test func aScanMissesAlways() throws {
        let trace = try Trace(reading: Array(0..<2000))
        for way in [PagingWay.fixed, .flexible] {
            let figures = try run(trace, way)
            #expect(figures.misses == 2000 && figures.traffic.reads == 2000 && figures.readsAhead == 0)
        }
        let ahead = try run(trace, .ahead)
        #expect(ahead.pagesRead == 2000)
        #expect(ahead.misses == ahead.readsAwaited && ahead.readsAwaited < 20)
        #expect(ahead.traffic.reads < 200)
        #expect(ahead.traffic.bytesRead <= 2048 * BasePage.size)
    }

    /// Each page of a request counts once. Pages of 4 KiB are read one by one, flexible ones at once.
    @Test func requestsOfManyPages() throws {
        // 3 pages, the outer two in part; then 16, of which the first is resident; then 2 that are.
        let trace = try Trace(lines: ["R,4000,8192", "R,8192,65536", "W,12288,8192"])
        let fixed = try run(trace, .fixed)
        #expect(fixed.pagesRead == 21 && fixed.misses == 18 && fixed.traffic.reads == 18)
        let flexible = try run(trace, .flexible)
        #expect(flexible.pagesRead == 21 && flexible.misses == 18 && flexible.traffic.reads == 2)
        #expect(flexible.traffic.bytesRead == 18 * BasePage.size)
        #expect(flexible.operationsSaved(against: fixed) == 1 - 2.0 / 18)
    }

    /// A hot set in use outlives a scan of many times the memory.
    @Test(arguments: [PagingWay.fixed, .flexible]) func aHotSetOutlivesAScan(way: PagingWay) throws {
        let hot = (0..<64).map { 100_000 + $0 * 300 }
        // Used at long intervals at first, so that it proves hot.
        var pages = (0..<20).flatMap { round in hot + (0..<60).map { 200_000 + round * 60 + $0 } }
        let before = try run(try Trace(reading: pages), way).misses
        for round in 0..<200 { pages += (0..<40).map { 1_000_000 + round * 40 + $0 } + [hot[round % 64]] }
        let during = try run(try Trace(reading: pages), way).misses - before
        #expect(during >= 8000)
        #expect(during <= 8000 + 10, "of 200 uses of the hot set \(during - 8000) missed")
    }

    /// Pages with the same number in two images are two pages.
    @Test func imagesAreApart() throws {
        let trace = try Trace(lines: [
            "fio version 2 iolog", "/a read 0 4096", "/b read 0 4096", "/a read 0 4096", "/b read 0 4096",
        ])
        #expect(try run(trace).misses == 2)
    }

    /// The tables can be included in the memory, as the plugin does.
    @Test func tablesCanBeCountedIn() throws {
        let trace = try Trace(reading: [1])
        let figures = try Simulation(memory: 16 << 20, way: .flexible, countsTables: true).run(trace)
        #expect(figures.frames < 4096 && figures.frames * 25 > 4096 * 24)
    }

    // MARK: Writes

    /// Writes count as reads, unless the simulation writes. Then whole pages are not read, and what is overwritten many
    /// times goes out once.
    @Test func writesAreWritten() throws {
        let trace = try Trace(lines: (0..<1000).map { "W,\($0 % 10 * 4096),4096" })
        let asReads = try run(trace, .flexible)
        #expect(asReads.pagesRead == 1000 && asReads.misses == 10 && asReads.traffic.writes == 0)
        let asWrites = try run(trace, .flexible, writes: true)
        #expect(asWrites.traffic == Traffic(reads: 0, bytesRead: 0, writes: 1, bytesWritten: 40960))
    }

    /// More is written than memory holds, in requests smaller and larger than memory, and nobody waits for ever.
    @Test(.timeLimit(.minutes(1)), arguments: [4096, 512, 1 << 20, 3 << 20]) func moreIsWrittenThanFits(length: Int)
        throws
    {
        let trace = try Trace(lines: (0..<20).map { "W,\($0 * 7 % 20 * length),\(length)" })
        let figures = try run(trace, .flexible, writes: true)
        let bytes = 20 * length
        #expect(figures.traffic.bytesWritten >= bytes && figures.traffic.bytesWritten <= max(2 * bytes, 20 * 4096))
    }

    /// The same trace gives the same figures.
    @Test(arguments: PagingWay.allCases) func isRepeatable(way: PagingWay) throws {
        let trace = try Trace(lines: (0..<3000).map { "\($0 % 3 == 0 ? "W" : "R"),\($0 * $0 % 977 * 4096),16384" })
        let first = try run(trace, way, writes: way == .flexible)
        #expect(try run(trace, way, writes: way == .flexible) == first)
    }
}
