import Glibc
import TestSupport
import Testing

@testable import Paging

/// Eight images with a hot set each that fits what is reserved for it, beside a ninth that uses much more than the
/// memory, at 20 times the rate of each of them.
@Suite(.oneThread) struct NeighboursTests {
    private static let frames = 2048
    private static let eight = 8

    /// What the ninth image does.
    enum Ninth: CaseIterable {
        case absent
        /// Reads on and on.
        case scan
        /// Uses twice the memory, some of it much more often (Zipf).
        case zipf
    }

    /// The reserves of the eight. The ninth has the default, which is what they leave of the half.
    enum Reserves {
        /// All nine share half of the memory.
        case byDefault
        /// Each of the eight has a sixteenth, so together half of the memory.
        case wanted
        /// None has any.
        case none
    }

    /// They keep at least 95 % of the hits that they have alone, if the hot set fits the reserve: a ninth of the half
    /// by default, or what their owners want.
    @Test(arguments: [Ninth.scan, .zipf], [Reserves.byDefault, .wanted])
    func aHotSetThatFitsIsKept(_ ninth: Ninth, _ reserves: Reserves) throws {
        let hot = reserves == .wanted ? 126 : 110
        let alone = try hits(hot, .absent, reserves)
        let together = try hits(hot, ninth, reserves)
        print("\(ninth) beside eight, reserves \(reserves): \(together.hits) of \(alone.hits) hits")
        #expect(alone.share > 0.9, "the test has a hot set that fits")
        #expect(Double(together.hits) >= 0.95 * Double(alone.hits), "\(together) of \(alone)")
    }

    /// The same fails if nothing is reserved for the eight, so that the ninth has the half.
    @Test(arguments: [Ninth.scan, .zipf]) func withoutReservesItIsNot(_ ninth: Ninth) throws {
        let alone = try hits(126, .absent, .none)
        let together = try hits(126, ninth, .none)
        print("\(ninth) beside eight, without reserves: \(together.hits) of \(alone.hits) hits")
        #expect(Double(together.hits) < 0.95 * Double(alone.hits), "\(together) of \(alone)")
    }

    /// What the eight do not use is lent: the ninth has all of it.
    @Test func idleMemoryIsLent() throws {
        let rig = try ManyImagesRig(9, frames: Self.frames)
        try rig.use(0..<10, ofImage: 0)
        try rig.use(0..<2000, ofImage: 8)
        try rig.use(0..<2000, ofImage: 8)
        #expect(rig.images[8].pagesRead.load(ordering: .relaxed) == 2000, "all of it is in memory")
        try rig.use(10_000..<20_000, ofImage: 8)
        #expect(rig.held[0] == 10 && rig.held[8] == Self.frames - 10)
        try rig.end()
    }

    /// Hits, and all uses.
    struct Hits: CustomStringConvertible {
        var hits = 0
        var uses = 0
        var share: Double { Double(hits) / Double(uses) }
        var description: String { "\(hits) hits in \(uses) uses" }
    }

    /// The hits of the eight. The first third of the uses warms up and does not count.
    private func hits(_ hot: Int, _ ninth: Ninth, _ reserves: Reserves) throws -> Hits {
        let rig = try ManyImagesRig(Self.eight + 1, frames: Self.frames)
        for provider in rig.providers[..<Self.eight] {
            switch reserves {
            case .byDefault: break
            case .wanted: provider.setReserve(.share(1.0 / 16))
            case .none: provider.setReserve(.share(0))
            }
        }
        var random = SplitMix64(seed: 1)
        var load = NinthLoad(ninth, pages: 2 * Self.frames)
        var hits = Hits()
        let rounds = 1800
        for round in 0..<rounds {
            for image in 0..<Self.eight {
                let isHit = try rig.use(UInt64(random.pick(0...hot - 1)) * 1000, ofImage: image)
                if round >= rounds / 3 {
                    hits.uses += 1
                    hits.hits += isHit ? 1 : 0
                }
            }
            for _ in 0..<20 where ninth != .absent { try rig.use(load.next(), ofImage: Self.eight) }
        }
        try rig.end()
        return hits
    }
}

/// The pages that the ninth image uses.
private struct NinthLoad {
    private let ninth: NeighboursTests.Ninth
    private var random = SplitMix64(seed: 2)
    private var scanned: UInt64 = 0
    /// The probability that a page up to this one is used.
    private var cumulated: [Double] = []

    init(_ ninth: NeighboursTests.Ninth, pages: Int) {
        self.ninth = ninth
        var sum = 0.0
        for rank in 1...pages {
            sum += 1 / pow(Double(rank), 0.9)
            cumulated.append(sum)
        }
    }

    mutating func next() -> UInt64 {
        guard ninth == .zipf else {
            scanned += 1
            return scanned
        }
        let wanted = Double(random.next() >> 11) / Double(1 << 53) * cumulated[cumulated.count - 1]
        var (low, high) = (0, cumulated.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if cumulated[middle] < wanted { low = middle + 1 } else { high = middle }
        }
        return UInt64(low)
    }
}
