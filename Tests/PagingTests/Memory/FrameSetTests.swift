import TestSupport
import Testing

@testable import Paging

/// Sets of frames of a block, wherever the block lies.
@Suite struct FrameSetTests {
    /// Regions of every order are put in one after the other. The set has all their frames, and no other frame of the
    /// block.
    @Test(arguments: [0, 256, 77 * 256, UInt32.max - 255 - 256] as [UInt32])
    func holdsTheFramesOfItsRegions(block: UInt32) {
        var random = SplitMix64(seed: UInt64(block))
        for _ in 0..<20 {
            let frame = block + UInt32(random.pick(0...255))
            var set = FrameSet(Region(first: frame, order: 0))
            var model: Set<UInt32> = [frame]
            for _ in 0..<random.pick(0...12) {
                let order = random.pick(0...6)
                let region = Region(
                    first: block + UInt32(random.pick(0...(256 >> order) - 1) << order), order: UInt8(order))
                set.insert(region)
                model.formUnion(region.first..<region.end)
            }
            #expect((block..<block + 256).allSatisfy { set.contains($0) == model.contains($0) })
        }
    }

    /// A Region of a whole block is all of it.
    @Test func aWholeBlock() {
        let set = FrameSet(Region(first: 512, order: 8))
        #expect((512..<768 as Range<UInt32>).allSatisfy(set.contains))
    }
}
