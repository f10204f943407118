import TestSupport
import Testing

@testable import Paging

/// Clean pages are dropped because a person wants the memory back. Nothing else is.
@Suite struct DroppingTests {
    private let image = CountedImage(size: 4 << 20)

    /// What was read goes, in flexpages of every size, and its memory is free.
    @Test func whatWasRead() throws {
        let rig = try PagingRig(memory: 8 << 20, image: image)
        for count in [4096, 65536, 1 << 20] { try rig.pager.populate(Int64(count)..<Int64(2 * count)) }
        let held = rig.frames - rig.pages.memory.freeFrames
        #expect(held == (4096 + 65536 + 1 << 20) / 4096)
        #expect(rig.provider.dropClean() == held)
        #expect(rig.pages.memory.freeFrames == rig.frames)
        #expect(rig.provider.dropClean() == 0)
        try rig.end()
    }

    /// What is dirty stays. So does what is written out and not durable, because a failed sync makes it dirty again.
    /// Once it is durable, it goes.
    @Test(arguments: [false, true]) func whatWasWritten(isWrittenOut: Bool) throws {
        let rig = try PagingRig(memory: 8 << 20, image: image)
        let writer = Pager(rig.provider, writeThrough: isWrittenOut)
        let scratch = TestBuffer(8192)
        try writer.write(from: UnsafeRawBufferPointer(scratch.buffer(8192)), at: 0, forced: false)
        #expect(rig.provider.dirtyPages == (isWrittenOut ? 0 : 2))
        #expect(rig.provider.dropClean() == 0)
        #expect(rig.provider.durability.risk.isAnythingAtRisk == false)
        try rig.pager.flush()
        #expect(rig.provider.dropClean() == 2)
        try rig.end()
    }

    /// What is lent stays until it is given back.
    @Test func whatIsLent() throws {
        let rig = try PagingRig(memory: 8 << 20, image: image)
        var progress = PageMapper.RequestProgress()
        do {
            let loan = try rig.provider.mapper.lend(0..<4096, &progress)
            #expect(rig.provider.dropClean() == 0)
            #expect(loan.count == 1)
        }
        #expect(rig.provider.dropClean() == 1)
        try rig.end()
    }
}
