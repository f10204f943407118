import Glibc
import TestSupport
import Testing

@testable import Paging

/// The position of a mark that was meant for a resident page. The reader's arrival is noticed all the same.
@Suite struct MarkTests {
    private static func rig(pages: Int64 = 4096, zeroes: Zeroes = .none) throws -> Rig {
        try Rig(memory: 32 << 20, readahead: 1 << 20, image: PatternImage(size: pages << 12, zeroes: zeroes))
    }

    /// Makes a page resident, as one that has been used; no stream notices.
    private static func makeResident(_ rig: Rig, _ page: UInt64) throws {
        rig.provider.mapper.readAhead(page..<page + 1, mark: nil)
        #expect(try rig.reads(4096, at: Int64(page) << 12))
    }

    /// The first pages of the flexpages of `pages` that are marked.
    private func marked(_ rig: Rig, _ pages: Range<UInt64>) -> [UInt64] {
        pages.filter { page in
            guard let id = rig.flexpage(at: page), rig.pages.table[id].pointee.key.page == page else { return false }
            return rig.state(page)?.has(PageState.marked) == true
        }
    }

    /// Forwards the first missing page of the window has the mark, backwards the last one, however many resident ones
    /// come before it. If all of the window is resident, there is no mark.
    @Test(arguments: [0, 1, 2, 7, 8, 9, 20, 63, 64] as [UInt64]) func theNearestMissingPageIsMarked(count: UInt64)
        throws
    {
        let forwards = try Self.rig()
        for page in 64..<64 + count { try Self.makeResident(forwards, page) }
        forwards.provider.mapper.readAhead(64..<128, mark: 64)
        #expect(marked(forwards, 0..<256) == (count < 64 ? [64 + count] : []))
        try forwards.end()

        let backwards = try Self.rig()
        for page in 128 - count..<128 { try Self.makeResident(backwards, page) }
        backwards.provider.mapper.readAhead(64..<128, mark: 127)
        let found = marked(backwards, 0..<256)
        #expect(found.count == (count < 64 ? 1 : 0))
        if let first = found.first, let order = backwards.order(first) {
            #expect((first..<first + 1 << UInt64(order)).contains(127 - count))
        }
        try backwards.end()
    }

    /// The same with any pages resident, and the parts of a window read one after another. One flexpage has the mark:
    /// that of the nearest missing page.
    @Test(arguments: Seeds.of(plain: 30, optimised: 600, sanitized: 4)) func agreesWithItsModel(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let rig = try Self.rig()
        let isForwards = random.once(in: 2)
        let begin = UInt64(random.pick(256...500))
        let run = begin..<UInt64(random.pick(Int(begin) + 1...512))
        let onceIn = random.pick(1...6)
        var page = run.lowerBound
        while page < run.upperBound {
            let count = UInt64(random.pick(1...12))
            if !random.once(in: onceIn) {
                for page in page..<min(page + count, run.upperBound) { try Self.makeResident(rig, page) }
            }
            page += count
        }
        let missing = run.filter { rig.flexpage(at: $0) == nil }
        rig.provider.mapper.readAhead(run, mark: isForwards ? run.lowerBound : run.upperBound - 1)
        let found = marked(rig, 256..<512)
        #expect(found.count == (missing.isEmpty ? 0 : 1), "FLEXPAGE_SEED=\(seed)")
        if let first = found.first, let nearest = isForwards ? missing.first : missing.last {
            let order = try #require(rig.order(first))
            #expect((first..<first + 1 << UInt64(order)).contains(nearest), "FLEXPAGE_SEED=\(seed)")
            #expect(!isForwards || first == nearest, "FLEXPAGE_SEED=\(seed)")
        }
        rig.pages.checkInvariants(isQuiet: true)
        try rig.end()
    }

    /// If the page to be marked is known to be zeroes, or found to be, the zeroes have the mark, and no flexpage has.
    @Test func zeroesAreMarked() throws {
        // Sixteen pages of zeroes, between others that are not.
        let zeroes = Zeroes(run: 16, untold: 4, seed: 11)
        let rig = try Self.rig(zeroes: zeroes)
        let run = try #require(
            (9..<128 as Range<UInt64>).lazy.map { $0 * 32..<$0 * 32 + 32 }.first { run in
                let edges = [run.lowerBound - 1, run.lowerBound, run.upperBound - 1].map(zeroes.isZero)
                return edges == [false, true, false] && run.lowerBound % 256 != 0
            })
        let map = rig.pages.accessMap(ofImage: rig.provider.image)
        rig.provider.mapper.readAhead(run, mark: run.lowerBound)
        #expect(marked(rig, run).isEmpty && rig.flexpage(at: run.lowerBound) == nil)
        #expect(takeMark(map, run) == run.lowerBound && takeMark(map, run) == nil)
        // They are known by now, and the rest is recycled.
        rig.recycleAll()
        rig.provider.mapper.readAhead(run, mark: run.lowerBound)
        #expect(marked(rig, run).isEmpty && takeMark(map, run) == run.lowerBound)
        // A run with nothing to read at all.
        rig.provider.mapper.readAhead(run.lowerBound..<run.lowerBound + 16, mark: run.lowerBound)
        #expect(takeMark(map, run) == run.lowerBound)
        // A run beside resident pages, in its intended position.
        rig.recycleAll()
        try Self.makeResident(rig, run.lowerBound - 1)
        rig.provider.mapper.readAhead(run.lowerBound - 1..<run.upperBound, mark: run.lowerBound - 1)
        #expect(marked(rig, run).isEmpty && takeMark(map, run) == run.lowerBound)
        try rig.end()
    }

    private func takeMark(_ map: AccessMap, _ pages: Range<UInt64>) -> UInt64? {
        map.takeMark(ofZeroes: pages)
    }

    /// A sequential reader of an image with some resident pages anywhere misses three times, like a reader of an image
    /// with none. It finds everything else read ahead. This holds even if every second page is resident, and in both
    /// directions.
    @Test(arguments: Seeds.of(plain: 6, optimised: 60, sanitized: 2), [20, 5, 2])
    func scatteredResidentPagesEndNoStream(seed: UInt64, onceIn: Int) throws {
        for isBackwards in [false, true] {
            let rig = try Self.rig()
            let prefetcher = try Prefetcher(pages: rig.pages, threads: 0)
            var random = SplitMix64(seed: seed, stream: UInt64(onceIn))
            for page in 0..<4096 as Range<UInt64> where random.once(in: onceIn) { try Self.makeResident(rig, page) }
            for step in 0..<4096 as Range<Int64> {
                let page = isBackwards ? 4095 - step : step
                #expect(try rig.reads(4096, at: page << 12))
                prefetcher.drain()
            }
            #expect(rig.pages.counters.misses == 3, "FLEXPAGE_SEED=\(seed), backwards: \(isBackwards)")
            #expect(rig.image.pagesRead.load(ordering: .relaxed) >= 4096)
            #expect((0..<4096 as Range<UInt64>).allSatisfy { rig.flexpage(at: $0) != nil })
            prefetcher.stop()
            rig.pages.checkInvariants(isQuiet: true)
            try rig.end()
        }
    }

    /// So does a strided reader once its stream runs. But if a whole place is resident, and was to have the mark, the
    /// reader misses once more.
    @Test(arguments: Seeds.of(plain: 6, optimised: 60, sanitized: 2), [100, -100] as [Int64])
    func scatteredResidentPagesEndNoStride(seed: UInt64, distance: Int64) throws {
        let rig = try Self.rig(pages: 10_000)
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0)
        var random = SplitMix64(seed: seed)
        let first: Int64 = distance > 0 ? 0 : 10_000 - 4
        for page in 0..<10_000 as Range<UInt64> where random.once(in: 20) && abs(Int64(page) - first) > 600 {
            try Self.makeResident(rig, page)
        }
        let places = (0..<100 as Range<Int64>).map { UInt64(first + $0 * distance) }
        let resident = places.filter { place in (place..<place + 4).allSatisfy { rig.flexpage(at: $0) != nil } }.count
        for place in places {
            #expect(try rig.reads(4 * 4096, at: Int64(place) << 12))
            prefetcher.drain()
        }
        let misses = rig.pages.counters.misses / 4
        #expect((4...4 + UInt64(resident)).contains(misses), "FLEXPAGE_SEED=\(seed)")
        prefetcher.stop()
        try rig.end()
    }

    /// So does one that finds the first page of each of its places resident, from the eighth place on.
    @Test(arguments: [100, -100] as [Int64]) func residentFirstPagesEndNoStride(distance: Int64) throws {
        let rig = try Self.rig(pages: 10_000)
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0)
        let first: Int64 = distance > 0 ? 0 : 10_000 - 4
        for step in 8..<100 as Range<Int64> { try Self.makeResident(rig, UInt64(first + step * distance)) }
        for step in 0..<100 as Range<Int64> {
            #expect(try rig.reads(4 * 4096, at: (first + step * distance) << 12))
            prefetcher.drain()
        }
        #expect(rig.pages.counters.misses == 4 * 4)
        prefetcher.stop()
        try rig.end()
    }
}
