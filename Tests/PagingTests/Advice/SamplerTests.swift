import Testing

@testable import Paging

/// One page of each group is sampled, however requests cut the image.
@Suite struct SamplerTests {
    /// All requests that cover a page are sampled, or none: whatever their length, a pass over the image has one sample
    /// of each group.
    @Test(arguments: [1, 3, 32, 100, 256]) func onePageOfEachGroup(pagesPerRequest: Int) throws {
        let rig = try AdviceRig(frames: 4096)
        let count: Int64 = 32 * 100
        var page: Int64 = 0
        while page < count {
            let end = min(count, page + Int64(pagesPerRequest))
            try rig.pagers[0].populate(page * 4096..<end * 4096)
            page = end
        }
        var groups: [UInt64: Int] = [:]
        let ring = rig.pages.advisor!.ring
        while let sample = ring.pop() {
            #expect(sample.kind == .miss)
            groups[sample.key.page, default: 0] += 1
        }
        #expect(groups.count == 100 && groups.values.allSatisfy { $0 == 1 })
        #expect(groups.keys.allSatisfy { $0 < 100 })
    }

    /// The sampled pages of different chunks lie at different places of their groups.
    @Test func chunksDiffer() throws {
        let rig = try AdviceRig(frames: 4096)
        let map = rig.pages.accessMap(ofImage: 0)
        var places: Set<UInt64> = []
        for chunk in 0..<200 as Range<UInt64> {
            let hash = map.chunk(of: chunk * 256).hash
            let place = Sampler.distance(from: chunk * 256, hash, mask: 31)
            #expect(place < 32)
            for page in 0..<256 as Range<UInt64> {
                let isSampled = Sampler.distance(from: chunk * 256 + page, hash, mask: 31) == 0
                #expect(isSampled == (page % 32 == place))
            }
            places.insert(place)
        }
        #expect(places.count == 32)
    }

    /// Without an Advisor nothing is sampled.
    @Test func offIsOff() {
        var sampled = 0
        Sampler.off.forEachSampled(of: 0..<256, 0) { _ in sampled += 1 }
        Sampler.off.report(.hit, 0, image: 0)
        #expect(sampled == 0 && Sampler.off.mask == .max)
    }
}
