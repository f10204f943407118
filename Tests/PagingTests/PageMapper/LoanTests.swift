import TestSupport
import Testing

@testable import Paging

/// What is lent stays where it is until it is given back, and the end of the loan gives it back (invariant 4).
@Suite struct LoanTests {
    /// There is a pin while the loan lives, and none after. Two loans of a page are two pins.
    @Test func itsEndGivesBack() throws {
        let rig = try Rig(image: MemoryImage(size: 1 << 20))
        try rig.pager.populate(0..<65536)
        do {
            var progress = PageMapper.RequestProgress()
            let loan = try rig.provider.mapper.lend(0..<65536, &progress)
            #expect(loan.count > 0)
            #expect(rig.pins(0) == 1)
            let second = try rig.provider.mapper.lend(100..<200, &progress)
            #expect(rig.pins(0) == 2)
            _ = consume second
            #expect(rig.pins(0) == 1)
            _ = consume loan
        }
        #expect(rig.pins(0) == 0)
        try rig.end()
    }

    /// The parts of a loan follow one another, hold the image's bytes, and cover exactly what the loan says. This holds
    /// for ranges that begin and end anywhere, over flexpages of any size.
    @Test(arguments: 1...60 as ClosedRange<UInt64>) func partsAreTheRange(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let size = Int64(random.pick(1...3 << 20))
        let rig = try Rig(memory: 4 << 20, image: MemoryImage(size: size))
        for _ in 0..<8 {
            let offset = random.place(below: size)
            let end = offset + Int64(random.length(upTo: Int(size - offset)))
            var progress = PageMapper.RequestProgress()
            let loan = try rig.provider.mapper.lend(offset..<end, &progress)
            #expect(loan.range.lowerBound == offset && loan.range.upperBound <= end && !loan.range.isEmpty)
            #expect(loan.count <= Loan.capacity)
            let range = loan.range
            let scratch = TestBuffer(range.count)
            var next = 0
            loan.forEachPart { part, position in
                #expect(position == next)
                #expect(scratch.holds(part, rig.image.pattern, at: offset + Int64(position)))
                next += part.count
            }
            #expect(next == range.count)
            _ = consume loan
        }
        try rig.end()
    }

    /// A lent page survives while reading many times the memory recycles everything else.
    @Test func aLentPageIsNotRecycled() throws {
        let rig = try Rig(image: MemoryImage(size: 8 << 20))
        var progress = PageMapper.RequestProgress()
        let loan = try rig.provider.mapper.lend(0..<4096, &progress)
        let id = try #require(rig.flexpage(at: 0))
        for chunk in 0..<8 as Range<Int64> { try rig.pager.populate(chunk << 20..<(chunk + 1) << 20) }
        #expect(rig.flexpage(at: 0) == id)
        let scratch = TestBuffer(4096)
        loan.forEachPart { part, _ in #expect(scratch.holds(part, rig.image.pattern, at: 0)) }
        _ = consume loan
        for chunk in 1..<8 as Range<Int64> { try rig.pager.populate(chunk << 20..<(chunk + 1) << 20) }
        for chunk in 1..<8 as Range<Int64> { try rig.pager.populate(chunk << 20..<(chunk + 1) << 20) }
        #expect(rig.flexpage(at: 0) == nil, "once given back, the page is recycled like any other")
        try rig.end()
    }
}
