import TestSupport
import Testing

@testable import Paging

/// Which pages are known to be zeroes. What is known is right. It is forgotten, rather than kept, if there is no room.
@Suite struct ZeroMapTests {
    private struct Key: Hashable {
        let image: UInt16
        let page: UInt64
    }

    /// Random notes and new flexpages, of several images. Nothing is known that has not been noted, or that has been
    /// taken back. While there is room nothing is forgotten. The counter is the number of known pages.
    @Test(arguments: 1...30 as ClosedRange<UInt64>, [2, 4000]) func agreesWithASet(seed: UInt64, chunks: Int) throws {
        let pages = try Pages(memory: 4 << 20)
        var random = SplitMix64(seed: seed)
        let images: [UInt16] = [0, 1, 65534]
        var model: Set<Key> = []
        for _ in 0..<200 {
            let image = images[random.pick(0...2)]
            let first = UInt64(random.pick(0...chunks - 1)) * 256 + (random.once(in: 2) ? 1 << 47 : 0)
            let begin = first + UInt64(random.pick(0...255))
            let range = begin..<min(first + 256, begin + UInt64(random.length(upTo: 256)))
            let map = pages.accessMap(ofImage: image)
            if random.once(in: 3) {
                map.forgetZeroes(in: range)
                model.subtract(range.map { Key(image: image, page: $0) })
            } else {
                map.noteZeroes(PageSet(range), inChunkOf: begin)
                model.formUnion(range.map { Key(image: image, page: $0) })
            }
            let known = map.knownZeroes(inChunkOf: begin)
            for page in first..<first + 256 {
                #expect(!known.contains(page) || model.contains(Key(image: image, page: page)))
            }
            #expect(range.allSatisfy { known.contains($0) == model.contains(Key(image: image, page: $0)) })
        }
        if chunks == 2 { #expect(pages.counters.knownZeroes == UInt64(model.count), "there is room for all of it") }
        #expect(pages.counters.knownZeroes <= UInt64(model.count))
        pages.checkInvariants()
        for image in images { forgetAll(of: image, pages) }
        #expect(pages.counters.knownZeroes == 0)
    }

    private func forgetAll(of image: UInt16, _ pages: Pages) {
        for index in 0..<AccessMap.shardCount { pages.accessMap(ofImage: image).forgetZeroes(inShard: index) }
        pages.checkInvariants()
    }

    /// There are more chunks than records. The number of known pages is bounded, and the latest are known. A chunk that
    /// is used again and again outlives those that are not.
    @Test func recordsAreRecycled() throws {
        let pages = try Pages(memory: Pages.minMemory)
        let map = pages.accessMap(ofImage: 3)
        let records = pages.memory.metadata.zeroGroupsPerShard * AccessMap.shardCount * ZeroMap.ways
        let hot: UInt64 = 1 << 40
        map.noteZeroes(PageSet(hot..<hot + 1), inChunkOf: hot)
        for chunk in 0..<UInt64(records * 20) {
            map.noteZeroes(PageSet(chunk << 8..<(chunk + 1) << 8), inChunkOf: chunk << 8)
            #expect(map.knownZeroes(inChunkOf: chunk << 8).count == 256)
            #expect(map.knownZeroes(inChunkOf: hot).contains(hot), "after \(chunk) others")
        }
        let known = pages.counters.knownZeroes
        #expect(known <= UInt64(records * 256))
        #expect(known > UInt64(records * 200), "the records are used")
        pages.checkInvariants()
        forgetAll(of: 3, pages)
        #expect(pages.counters.knownZeroes == 0)
    }

    /// A new flexpage takes away what is known of its pages, and of no others.
    @Test(arguments: 0...Region.maxOrder) func aFlexpageForgets(order: Int) throws {
        let pages = try Pages(memory: 4 << 20)
        let map = pages.accessMap(ofImage: 0)
        map.noteZeroes(PageSet(0..<256), inChunkOf: 0)
        let taken = pages.memory.take(order: order)
        let region = try #require(taken)
        let size = UInt64(region.frames)
        pages.table[region.first].pointee.key = PageKey(image: 0, page: 256 - size)
        pages.table[region.first].pointee.order = region.order
        map.insert(region.first)
        let known = map.knownZeroes(inChunkOf: 0)
        #expect((0..<256).allSatisfy { known.contains($0) == ($0 < 256 - size) })
        #expect(pages.counters.knownZeroes == 256 - size)
        map.remove(region.first)
        #expect(map.knownZeroes(inChunkOf: 0).count == Int(256 - size), "removal does not bring zeroes back")
        pages.memory.give(region)
    }

    /// A mark stays where it was put, is taken once, and exists only on known zeroes.
    @Test func marksAreTakenOnce() throws {
        let pages = try Pages(memory: 1 << 20)
        let map = pages.accessMap(ofImage: 0)
        map.markZeroes(at: 5)
        #expect(map.takeMark(ofZeroes: 0..<256) == nil)
        map.noteZeroes(PageSet(512..<600), inChunkOf: 512)
        map.markZeroes(at: 600)
        #expect(map.takeMark(ofZeroes: 512..<768) == nil)
        map.markZeroes(at: 520)
        #expect(map.takeMark(ofZeroes: 512..<520) == nil)
        #expect(map.takeMark(ofZeroes: 520..<521) == 520)
        #expect(map.takeMark(ofZeroes: 512..<600) == nil)
    }
}
