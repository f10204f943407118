import Glibc
import Testing

@testable import flexpage

/// Simulations with a second tier, where what comes out is known.
@Suite struct CompressionTests {
    private static let costs = CompressionCosts(
        keeping: 6, refusing: 2, taking: 1, pages: 100, zeroes: 10, kept: 80, bytes: 163_840)
    private static let mebibyte = 1 << 20

    private func run(
        _ trace: Trace, _ kinds: [ContentFile.Kind], share: Int, memory: Int = 2 * mebibyte,
        _ way: PagingWay = .fixed, writes: Bool = false
    ) throws -> CompressionFigures {
        let trial = CompressionTrial(content: try ContentFile(kinds).content(), costs: Self.costs)
        return try trial.run(trace, Simulation(memory: memory, way: way, writes: writes), share: share)
    }

    /// Twice as many pages as fit into memory, in a loop that misses always, then fit into what is left and the tier.
    @Test(arguments: [PagingWay.fixed, .flexible]) func aLoopFitsCompressed(way: PagingWay) throws {
        let loop = (0..<1000).map { $0 * 3 }
        let trace = try Trace(reading: Array([[Int]](repeating: loop, count: 5).joined()))
        let without = try run(trace, [.plain], share: 0, way)
        #expect(without.figures.traffic.reads > 2500 && without.work == TierWork() && without.pages == 0)
        let with = try run(trace, [.plain], share: 40, way)
        #expect(with.figures.traffic.reads == 1000, "each page is read once")
        #expect(with.figures.frames == 307, "60 % of 512, but for what is less than a page")
        #expect(with.figures.misses == 1000 + with.work.taken && with.work.taken > 2000)
        // What the pager has, it has not given to the tier, or has got back.
        #expect(with.work.kept - with.work.taken == 1000 - 307 && with.pages == 1000 - 307)
        #expect(with.work.refused == 0)
    }

    /// What does not compress gains nothing: the pager has less memory, and the processor works in vain.
    @Test func randomContentGainsNothing() throws {
        let trace = try Trace(reading: (0..<6000).map { $0 * $0 % 1009 })
        let without = try run(trace, [.random], share: 0)
        let with = try run(trace, [.random], share: 40)
        #expect(with.work.kept == 0 && with.work.taken == 0 && with.pages == 0)
        #expect(with.work.refused == with.figures.misses - with.figures.frames)
        #expect(with.figures.traffic.reads == with.figures.misses)
        #expect(with.figures.traffic.reads > without.figures.traffic.reads)
        for source in SimulatedSource.allCases { #expect(with.seconds(source) > without.seconds(source)) }
    }

    /// The pager keeps no zeroes, tier or not: they are read once, and then known.
    @Test func zeroesTakeNoMemory() throws {
        let trace = try Trace(reading: Array(0..<1000) + Array(0..<1000))
        for share in [0, 40] {
            let figures = try run(trace, [.zeroes], share: share)
            #expect(figures.figures.traffic.reads == 1000 && figures.work == TierWork() && figures.pages == 0)
        }
    }

    /// A share of 0 is the simulation without a tier, with writes and without.
    @Test(arguments: PagingWay.allCases, [false, true]) func noShareIsNoTier(way: PagingWay, writes: Bool) throws {
        let trace = try Trace(lines: (0..<3000).map { "\($0 % 3 == 0 ? "W" : "R"),\($0 * $0 % 1977 * 4096),16384" })
        let simulation = Simulation(memory: 2 * Self.mebibyte, way: way, writes: writes)
        let figures = try run(trace, [.plain, .random], share: 0, way, writes: writes)
        #expect(figures.figures == (try simulation.run(trace)))
        #expect(figures.processorSeconds == 0)
    }

    /// The same trace gives the same figures, in all ways, and each miss of a page is a read of it, or a page from the
    /// tier.
    @Test(arguments: PagingWay.allCases, [false, true]) func addsUp(way: PagingWay, writes: Bool) throws {
        let trace = try Trace(lines: (0..<3000).map { "\($0 % 3 == 0 ? "W" : "R"),\($0 * $0 % 1977 * 4096),16384" })
        let kinds: [ContentFile.Kind] = [.plain, .random, .plain, .plain, .random, .plain]
        let first = try run(trace, kinds, share: 30, way, writes: writes)
        #expect(try run(trace, kinds, share: 30, way, writes: writes) == first)
        #expect(first.work.kept > 0 && first.work.refused > 0 && first.work.taken > 0)
        let pagesRead = first.figures.traffic.bytesRead / 4096
        if way == .fixed {
            #expect(pagesRead == first.figures.traffic.reads)
            if !writes { #expect(first.figures.misses == pagesRead + first.work.taken) }
        }
        #expect(first.work.kept >= first.work.taken + first.pages)
    }

    /// Of pages that are read once and never again, main has none. A tier that takes only pages of main leaves them.
    @Test func aScanIsNotCompressed() throws {
        let trace = try Trace(reading: Array(0..<5000))
        let content = try ContentFile([.plain]).content()
        let work = try [TierAdmission.all, .main].map { admission in
            try CompressionTrial(content: content, costs: Self.costs, admission: admission)
                .run(trace, Simulation(memory: 2 * Self.mebibyte, way: .fixed), share: 50).work
        }
        #expect(work == [TierWork(kept: 5000 - 256), TierWork()])
    }

    /// Two images of a trace are apart in the tier as well.
    @Test func imagesAreApart() throws {
        let lines = (0..<4000).map { "/\($0 % 2 == 0 ? "a" : "b") read \($0 / 2 % 500 * 4096) 4096" }
        let trace = try Trace(lines: ["fio version 2 iolog"] + lines)
        let figures = try run(trace, [.plain], share: 40)
        #expect(figures.figures.traffic.reads == 1000)
    }

    /// Time is the source's and the tier's.
    @Test func costs() {
        let work = TierWork(kept: 1_000_000, refused: 500_000, taken: 2_000_000)
        #expect(work.seconds(Self.costs) == 6 + 1 + 2)
        #expect(Self.costs.keptShare == 80.0 / 90)
        #expect(Self.costs.ratio == 90.0 * 4096 / (163_840 + 10.0 * 4096))
        let traffic = Traffic(reads: 6000, bytesRead: 256 << 20, writes: 3000, bytesWritten: 0)
        let figures = Figures(
            trace: "t", memory: 1, frames: 1, way: .ahead, requests: 1, pagesRead: 1, misses: 1, readsAhead: 1000,
            traffic: traffic)
        let all = CompressionFigures(memory: 1, share: 10, figures: figures, work: work, pages: 0, costs: Self.costs)
        #expect(all.processorSeconds == 9)
        #expect(abs(all.seconds(.unthrottled) - (5000 * 80e-6 + 0.125 + 9)) < 1e-9)
        #expect(abs(all.seconds(.throttled) - (3 + 9)) < 1e-9)
        #expect(abs(all.seconds(.far) - (100 + 9)) < 1e-9)
        let long = Traffic(reads: 3, bytesRead: 250 << 20, writes: 0, bytesWritten: 125 << 20)
        let large = Figures(
            trace: "t", memory: 1, frames: 1, way: .ahead, requests: 1, pagesRead: 1, misses: 1, readsAhead: 0,
            traffic: long)
        #expect(abs(SimulatedSource.throttled.seconds(large) - 3) < 1e-9, "bytes decide")
    }

    /// What is measured is of the content.
    @Test func measuredCosts() throws {
        let file = try ContentFile([.zeroes, .plain, .random, .plain])
        let costs = try CompressionCosts(measuring: try file.content())
        #expect(costs.pages == 4 && costs.zeroes == 1 && costs.kept == 2)
        #expect(costs.bytes > 0 && costs.bytes < 200)
        #expect(costs.keptShare == 2.0 / 3)
        #expect(costs.ratio > 2.8 && costs.ratio < 3)
        #expect(costs.keeping > 0 && costs.refusing > 0 && costs.taking > 0)
        let nothing = try CompressionCosts(measuring: try ContentFile([.zeroes]).content())
        #expect(nothing == CompressionCosts(pages: 1, zeroes: 1))
        #expect(nothing.keptShare == 0 && nothing.ratio == 1)
    }

    // MARK: Report

    private func rows() throws -> [CompressionFigures] {
        let trace = try Trace(named: "loop.csv", lines: (0..<3000).map { "R,\($0 % 1000 * 12288),4096" })
        return try [0, 40].map { try run(trace, [.plain], share: $0, .flexible) }
    }

    @Test func table() throws {
        var report = CompressionReport(image: "disk.img", costs: Self.costs)
        let rows = try rows()
        for row in rows { report.add(row) }
        let lines = report.table.split(separator: "\n")
        #expect(lines.count == 3 + 6)
        #expect(lines[0].hasPrefix("trace  memory  pages  tier") && lines[0].hasSuffix("far s  ratio"))
        let first = lines[1].split(separator: " ")
        #expect(first.prefix(5) == ["loop", "2M", "flex", "0", "%"] && first.last == "1.000")
        let second = lines[2].split(separator: " ")
        #expect(second.prefix(5) == ["loop", "2M", "flex", "40", "%"])
        #expect(second[6] == "\(rows[1].work.taken)" && second[7] == "1000" && second[8] == "1000")
        let ratio = rows[1].seconds(.far) / rows[0].seconds(.far)
        #expect(report.ratio(rows[1], .far) == ratio && ratio < 0.5)
        #expect(second.last! == ratio.text(digits: 3))
        #expect(
            lines[3]
                == "disk.img: of 100 pages of 4 KiB from all over it, 10 are zeroes. Of the others, 89 % compress to "
                + "three quarters or less; all of them take 1.80 times less.")
        #expect(
            lines[4]
                == "LZ4 on this machine: 6.0 µs to keep a page, 2.0 µs to refuse one, 1.0 µs to take one back.")
        #expect(lines[5] == "unthrottled: 80 µs for each read waited for, and 2 GiB/s")
    }

    /// Costs that nothing was measured for are said to be missing, if they matter.
    @Test(arguments: [ContentFile.Kind.plain, .random]) func unmeasuredCosts(kind: ContentFile.Kind) throws {
        let trace = try Trace(reading: (0..<3000).map { $0 % 1000 * 3 })
        let row = try run(trace, [kind], share: 40)
        func notes(kept: Int) -> [Substring] {
            let costs = CompressionCosts(keeping: 6, refusing: 2, taking: 1, pages: 100, kept: kept)
            var report = CompressionReport(image: "disk.img", costs: costs)
            report.add(row)
            return report.table.split(separator: "\n").filter { $0.hasPrefix("None of the pages that were measured") }
        }
        let keeps = kind == .plain
        #expect(notes(kept: 50).isEmpty, "both kinds were measured")
        #expect(notes(kept: keeps ? 100 : 0).isEmpty, "what was not measured is not met")
        let found = notes(kept: keeps ? 0 : 100)
        #expect(found.count == 1)
        #expect(found.first?.contains(keeps ? "is worth keeping" : "is refused") == true)
    }

    /// The pages with which costs are measured are spread over all of the content.
    @Test func positions() {
        func positions(_ count: UInt64, _ pages: UInt64) -> [UInt64] {
            (0..<count).map { CompressionCosts.position(of: $0, count: count, in: pages) }
        }
        #expect(positions(4, 4) == [0, 1, 2, 3])
        #expect(positions(4, 7) == [0, 1, 3, 5], "parts of one page and of two")
        #expect(positions(4, 40) == [0, 10, 20, 30])
        let most = CompressionCosts.position(of: 4095, count: 4096, in: .max)
        #expect(most > .max / 4096 * 4095 && most < .max - .max / 4096 + 1, "no overflow")
    }

    @Test func json() throws {
        var report = CompressionReport(image: "disk.img", costs: Self.costs)
        let rows = try rows()
        for row in rows { report.add(row) }
        let lines = report.json.split(separator: "\n")
        #expect(lines.count == 4 && lines[0] == "[" && lines[3] == "]")
        #expect(
            lines[2].hasPrefix(
                "  {\"memory\": 2097152, \"share\": 40, \"pager\": {\"trace\": \"loop\", \"memory\": 1258312"))
        #expect(
            lines[2].contains(
                "\"kept\": \(rows[1].work.kept), \"refused\": 0, \"taken\": \(rows[1].work.taken), "
                    + "\"pagesAtEnd\": \(rows[1].pages), \"processorSeconds\": "))
        #expect(
            lines[2].contains(
                "\"costs\": {\"keeping\": 6.000, \"refusing\": 2.000, \"taking\": 1.000, \"keptShare\": 0.8889, "
                    + "\"ratio\": 1.8000}"))
        #expect(lines[2].hasSuffix("\"far\": \(rows[1].seconds(.far).text(digits: 6))}"))
    }

    // MARK: The command

    @Test func optionsThatDoNotFit() throws {
        func complaint(_ arguments: String...) -> String {
            do {
                _ = try Simulate.parse(["a.csv"] + arguments)
                return ""
            } catch {
                return Simulate.message(for: error)
            }
        }
        #expect(complaint("--compress", "i") == "")
        #expect(complaint("--compress", "i", "--compress-shares", "0,5,90") == "")
        let twice = try Simulate.parse(["a.csv", "--compress", "i", "--compress-shares", "30,0,10,30,10"])
        #expect(twice.shares == [0, 30, 10], "each share once")
        #expect(complaint("--compress-shares", "10") == "--compress-shares is for --compress")
        #expect(complaint("--compress-from", "main") == "--compress-from is for --compress")
        #expect(complaint("--compress", "i", "--compress-from", "main") == "")
        #expect(
            complaint("--compress", "i", "--compress-shares", "10,91") == "--compress-shares must be 0 to 90 per cent")
        #expect(complaint("--compress", "i", "--plot", "p") == "--compress and --plot exclude each other")
        #expect(complaint("b", "--compress", "i", "--together") == "--compress and --together exclude each other")
        #expect(
            complaint("--compress", "i", "--memory", "64M,2M")
                == "with --memory 2M, a share of 60 % leaves the pager less than 1M; expected a larger --memory or a "
                + "smaller share")
        #expect(complaint("--compress", "i", "--compress-shares", "-1").contains("compress-shares"))
        for text in ["", "1,", "x", "1.5", "+1", "-1"] { #expect(Percentages(argument: text) == nil, "\(text)") }
        #expect(Percentages(argument: "0,30")?.values == [0, 30])
    }

    /// What is wrong with the image is said before anything is simulated.
    @Test func anImageThatIsNotThere() throws {
        let command = try Simulate.parse(["a.csv", "--compress", "/no/such/image"])
        #expect {
            try command.run()
        } throws: { error in
            "\(error)" == "/no/such/image: cannot be opened: No such file or directory"
        }
    }
}
