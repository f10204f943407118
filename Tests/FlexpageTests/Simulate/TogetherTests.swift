import Testing

@testable import flexpage

/// Several traces as several images in one memory.
@Suite struct TogetherTests {
    private static let simulation = Simulation(memory: 1 << 20, way: .fixed)

    /// Traces that fit into memory together miss as often as alone. The same pages of two traces are different pages.
    @Test func whatFitsTogetherMissesOnce() throws {
        let traces = [try Trace(reading: Array(0..<100) + Array(0..<100)), try Trace(reading: Array(0..<100))]
        let figures = try Self.simulation.run(traces)
        #expect(figures.map(\.pagesRead) == [200, 100] && figures.map(\.misses) == [100, 100])
        #expect(figures.map(\.hits) == [100, 0])
        #expect(figures.map(\.traffic.reads) == [100, 100])
        let alone = try traces.map { try Self.simulation.run($0) }
        #expect(figures == alone)
    }

    /// A hot set that fits what is reserved for its trace keeps its hits beside a scan, or a larger hot set.
    @Test func aHotSetKeepsItsHits() throws {
        let hot = try Trace(reading: (0..<4000).map { $0 * 7 % 60 })
        let scan = try Trace(reading: Array(0..<4000))
        let large = try Trace(reading: (0..<4000).map { $0 * $0 % 499 })
        let alone = try Self.simulation.run(hot)
        let figures = try Self.simulation.run([hot, scan, large])
        #expect(alone.misses == 60 && figures[0].misses == 60)
        #expect(figures[1].misses == 4000)
        let largeAlone = try Self.simulation.run(large)
        #expect(figures[2].hits > 0 && figures[2].hits < largeAlone.hits)
    }

    /// The same traces give the same figures, in all ways of paging, with writes as well.
    @Test(arguments: PagingWay.allCases) func isRepeatable(way: PagingWay) throws {
        let traces = try (1...3).map { number in
            try Trace(lines: (0..<1000).map { "\($0 % 3 == 0 ? "W" : "R"),\($0 * $0 * number % 977 * 4096),16384" })
        }
        let simulation = Simulation(memory: 1 << 20, way: way, writes: way == .flexible)
        let first = try simulation.run(traces)
        #expect(try simulation.run(traces) == first)
        #expect(first.allSatisfy { $0.pagesRead > 0 && $0.misses > 0 && $0.traffic.reads > 0 })
        #expect(first.allSatisfy { way == .ahead || $0.readsAhead == 0 })
    }

    /// What is printed.
    @Test func report() throws {
        var report = TogetherReport()
        let traces = [try Trace(reading: [1, 1, 1, 1]), try Trace(reading: [1])]
        let figures = try Self.simulation.run(traces)
        report.add(alone: figures, together: figures)
        let lines = report.table.split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines[0].split(separator: " ").suffix(4) == ["hits", "alone", "together", "kept"])
        #expect(lines[1].split(separator: " ") == ["trace", "1M", "4", "KiB", "4", "4", "3", "3", "100.0", "%"])
        #expect(lines[2].split(separator: " ") == ["trace", "1M", "4", "KiB", "1", "1", "0", "0"])
        #expect(report.json.hasPrefix("[\n  {\"alone\": {\"trace\": \"trace\", ") && report.json.hasSuffix("}}\n]"))
        #expect(report.json.split(separator: "\n").count == 4)
    }

    /// One trace is not several, and there is no plot of several.
    @Test func optionsThatDoNotFit() throws {
        #expect(throws: (any Error).self) { _ = try Simulate.parse(["--together", "a"]) }
        #expect(throws: (any Error).self) { _ = try Simulate.parse(["--together", "a", "b", "--plot", "c.svg"]) }
        #expect(try Simulate.parse(["--together", "a", "b"]).together)
    }
}
