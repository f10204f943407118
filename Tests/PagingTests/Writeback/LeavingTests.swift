import Glibc
import Testing

@testable import Paging

/// Users leave an image before everything written is out. The crew goes on by itself, however long dirty pages may
/// wait.
@Suite struct LeavingTests {
    private static let identity = ImageIdentity(device: 1, inode: 1)

    /// One open image and a crew that looks after it.
    private struct Crew {
        let rig: PagingRig<ToldImage>
        let completed = Tally()
        let writeback: Writeback

        init() throws {
            rig = try PagingRig(image: ToldImage(size: 1 << 20))
            let completed = completed
            writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 86_400_000) { _, count in
                for _ in 0..<count { completed.add() }
            }
        }
    }

    /// The last user leaves while the image fails: the Provider and its data are there for the next one. Once nobody is
    /// there and the image works again, everything is written out and synced, and the pages are dropped. The next user
    /// then opens the image anew.
    @Test(arguments: ToldImage.Call.allCases) func theLastClose(call: ToldImage.Call) throws {
        let crew = try Crew()
        let rig = crew.rig
        try rig.write(5, count: 8192, at: 4096)
        rig.image.fail(call, with: ENOSPC)
        #expect(throws: AccessError(ENOSPC)) { try rig.registry.close(rig.provider) }
        let next = try rig.registry.open(Self.identity) { ToldImage(size: 4096) }
        #expect(next === rig.provider)
        let scratch = TestBuffer(8192)
        let buffer = scratch.buffer(8192)
        try Pager(next).read(into: buffer, at: 4096)
        #expect(scratch.holds(buffer, 5))
        #expect(throws: AccessError(ENOSPC)) { try rig.registry.close(next) }
        rig.image.fail(call, with: 0)
        let (pages, frames) = (rig.pages, rig.frames)
        Watchdog.guarding("what was left is brought out") { Thread.wait { pages.memory.freeFrames == frames } }
        #expect(rig.image.byte(ofPage: 1) == 5 && rig.image.byte(ofPage: 2) == 5)
        #expect(rig.image.goodSyncs.load(ordering: .acquiring) > 0)
        pages.checkInvariants(isQuiet: true)
        let anew = try rig.registry.open(Self.identity) { ToldImage(size: 4096) }
        #expect(anew !== rig.provider)
        try rig.registry.close(anew)
        crew.writeback.stop()
        #expect(crew.completed.count == 0)
    }

    /// Some users leave their flushes behind while the image fails, and one stays. As long as it fails no flush counts
    /// as completed. Afterwards all do, with their data out and synced.
    @Test(arguments: ToldImage.Call.allCases) func aFlushThatIsLeft(call: ToldImage.Call) throws {
        let crew = try Crew()
        let rig = crew.rig
        rig.image.fail(call, with: EIO)
        for page in 1...3 as ClosedRange<Int64> {
            try rig.write(UInt8(page), count: 4096, at: page * 4096)
            #expect(throws: AccessError(EIO)) { try rig.pager.flush() }
            rig.provider.leaveFlush()
        }
        let failures = rig.image.failures.load(ordering: .relaxed)
        Watchdog.guarding("the crew tries, in vain") {
            Thread.wait { rig.image.failures.load(ordering: .relaxed) >= failures + 2 }
        }
        #expect(crew.completed.count == 0)
        rig.image.fail(call, with: 0)
        Watchdog.guarding("what was left is completed") { Thread.wait { crew.completed.count == 3 } }
        for page in 1...3 { #expect(rig.image.byte(ofPage: page) == UInt8(page)) }
        #expect(rig.image.goodSyncs.load(ordering: .acquiring) > 0)
        #expect(!rig.provider.durability.hasLeftFlushes && rig.provider.trouble == nil)
        crew.writeback.stop()
        try rig.end()
    }

    /// What a failed sync has lost keeps nobody waiting: when everything else is out, the flush that was left is
    /// completed.
    @Test func whatIsLost() throws {
        let crew = try Crew()
        let rig = crew.rig
        try rig.pager.flush()
        rig.image.fail(.sync, with: EIO)
        try rig.pager.trim(0..<65_536, forced: false)
        try rig.write(1, count: 4096, at: 1 << 19)
        #expect(throws: AccessError(EIO)) { try rig.pager.flush() }
        rig.provider.leaveFlush()
        rig.image.fail(.sync, with: 0)
        Watchdog.guarding("what was left is completed") { Thread.wait { crew.completed.count == 1 } }
        #expect(rig.provider.lost == AccessError(EIO))
        #expect(rig.image.byte(ofPage: 128) == 1)
        #expect(throws: AccessError(EIO)) { try rig.pager.flush() }
        crew.writeback.stop()
        #expect(throws: AccessError(EIO)) { try rig.registry.close(rig.provider) }
        #expect(rig.pages.memory.freeFrames == rig.frames)
    }
}
