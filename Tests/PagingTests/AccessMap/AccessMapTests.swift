import TestSupport
import Testing

@testable import Paging

/// Which flexpage covers a page. The model is a dictionary of base pages, for several images at once.
@Suite struct AccessMapTests {
    private struct Key: Hashable {
        let image: UInt16
        let page: UInt64
    }

    /// Inserts and removes flexpages of all orders at random. Every page, covered or not, and each vacancy is what the
    /// model says. All leaves come back in the end.
    @Test(arguments: 1...40 as ClosedRange<UInt64>) func agreesWithADictionary(seed: UInt64) throws {
        let pages = try Pages(memory: 8 << 20)
        var random = SplitMix64(seed: seed)
        var model: [Key: FlexpageID] = [:]
        var inserted: [FlexpageID] = []
        let images: [UInt16] = [0, 1, 65534]
        for _ in 0..<150 {
            if random.once(in: 3), !inserted.isEmpty {
                remove(inserted.remove(at: random.pick(0...inserted.count - 1)), pages, &model)
            } else {
                let order = random.pick(0...Region.maxOrder)
                let chunk = [0, 1, 2, 3, 1 << 39][random.pick(0...4)]
                let page = UInt64(chunk * 256 + (random.pick(0...(255 >> order)) << order))
                let image = images[random.pick(0...2)]
                if let id = insert(image, page, order, pages, &model) { inserted.append(id) }
            }
            check(images, pages, &random, model)
        }
        for id in inserted { remove(id, pages, &model) }
        #expect(model.isEmpty)
        #expect(pages.leaves.used == 0)
    }

    private func insert(
        _ image: UInt16, _ page: UInt64, _ order: Int, _ pages: Pages, _ model: inout [Key: FlexpageID]
    ) -> FlexpageID? {
        let map = pages.accessMap(ofImage: image)
        let covered = page..<page + 1 << UInt64(order)
        let isVacant = covered.allSatisfy { model[Key(image: image, page: $0)] == nil }
        #expect(map.isVacant(covered) == isVacant)
        guard isVacant, let region = pages.memory.take(order: order) else { return nil }
        map.insert(pages.table.make(region, key: PageKey(image: image, page: page), state: PageState.populated))
        for page in covered { model[Key(image: image, page: page)] = region.first }
        return region.first
    }

    private func remove(_ id: FlexpageID, _ pages: Pages, _ model: inout [Key: FlexpageID]) {
        let key = pages.table[id].pointee.key
        pages.accessMap(ofImage: key.image).remove(id)
        for page in pages.table[id].covered { model[Key(image: key.image, page: page)] = nil }
        pages.memory.give(pages.table.region(of: id))
    }

    private func check(
        _ images: [UInt16], _ pages: Pages, _ random: inout SplitMix64, _ model: [Key: FlexpageID]
    ) {
        for _ in 0..<20 {
            let image = images[random.pick(0...2)]
            let page = UInt64([0, 256, 512, 768, 256 << 39][random.pick(0...4)] + random.pick(0...255))
            let found = pages.accessMap(ofImage: image).flexpage(at: page)
            #expect(found == model[Key(image: image, page: page)] ?? .none)
        }
    }

    /// All pages of a chunk belong to one shard, all shards are used, and each image spreads on its own.
    @Test func chunksSpreadOverShards() throws {
        let pages = try Pages(memory: 1 << 20)
        let base = pages.memory.metadata.shards
        for image: UInt16 in [0, 7] {
            let map = pages.accessMap(ofImage: image)
            var counts: [Int: Int] = [:]
            for chunk in 0..<UInt64(AccessMap.shardCount * 32) {
                let shard = map.shard(of: chunk << 8)
                #expect(map.shard(of: chunk << 8 | 255) == shard)
                counts[shard - base, default: 0] += 1
            }
            #expect(counts.count == AccessMap.shardCount)
            #expect(counts.values.max()! < 32 * 3, "one lock for many chunks")
        }
    }

    /// A walk over an image's flexpages finds each of its own once, while they are taken out, and none of another
    /// image's.
    @Test func walksOverOneImage() throws {
        let pages = try Pages(memory: 4 << 20)
        var model: [Key: FlexpageID] = [:]
        for index in 0..<60 as Range<UInt64> {
            let order = Int(index % 5)
            #expect(insert(UInt16(index % 2), index / 2 * 64, order, pages, &model) != nil)
        }
        let map = pages.accessMap(ofImage: 1)
        var found: [FlexpageID] = []
        for index in 0..<AccessMap.shardCount {
            var bucket = 0
            while let id = map.firstFlexpage(inShard: index, from: &bucket, where: { _ in true }) {
                found.append(id)
                map.remove(id)
            }
        }
        let expected = Set(model.filter { $0.key.image == 1 }.values)
        #expect(found.count == expected.count && Set(found) == expected)
        let left = model.filter { $0.key.image == 0 }
        for (key, id) in left { #expect(pages.accessMap(ofImage: 0).flexpage(at: key.page) == id) }
    }
}
