import Glibc
import Synchronization
import Testing

@testable import Paging

/// One Provider an image, however many clients have it open, and all images in one Memory.
@Suite struct ProviderRegistryTests {
    private let first = ImageIdentity(device: 1, inode: 1)
    private let second = ImageIdentity(device: 1, inode: 2)

    /// The same identity is the same Provider, opened once. Another identity is another Provider.
    @Test func oneProviderAnImage() throws {
        let registry = ProviderRegistry(pages: try Pages(memory: 1 << 20))
        var opened = 0
        func open(_ identity: ImageIdentity) throws -> Provider {
            try registry.open(identity) {
                opened += 1
                return PatternImage(size: 4096)
            }
        }
        let (a, b, c) = (try open(first), try open(first), try open(second))
        #expect(a === b && a !== c)
        #expect(a.image != c.image)
        #expect(opened == 2)
        for provider in [a, b, c] { try registry.close(provider) }
        #expect(try open(first) !== a, "after the last close the image is opened anew")
        #expect(opened == 3)
    }

    /// An image that cannot be opened gives its error, leaves nothing behind, and can be opened later.
    @Test func aFailedOpenLeavesNothing() throws {
        let registry = ProviderRegistry(pages: try Pages(memory: 1 << 20))
        #expect(throws: AccessError(ENOENT)) {
            _ = try registry.open(first) { () throws(AccessError) in throw AccessError(ENOENT) }
        }
        let provider = try registry.open(first) { PatternImage(size: 4096) }
        try registry.close(provider)
    }

    /// Only the last close drops the image's pages, and only its own.
    @Test func theLastCloseDropsPages() throws {
        let pages = try Pages(memory: 4 << 20, readahead: 0)
        let registry = ProviderRegistry(pages: pages)
        let a = try registry.open(first) { PatternImage(size: 1 << 20, key: 1) }
        let again = try registry.open(first) { PatternImage(size: 1 << 20, key: 1) }
        let b = try registry.open(second) { PatternImage(size: 1 << 20, key: 2) }
        try Pager(a).populate(0..<1 << 20)
        try Pager(b).populate(0..<1 << 19)
        let frames = pages.memory.metadata.frames
        try registry.close(a)
        #expect(pages.memory.freeFrames == frames - 256 - 128)
        try registry.close(again)
        #expect(pages.memory.freeFrames == frames - 128)
        pages.checkInvariants(isQuiet: true)
        try registry.close(b)
        #expect(pages.memory.freeFrames == frames)
        pages.checkInvariants(isQuiet: true)
    }

    /// An image opened again shows its own bytes, even if its number has been another's meanwhile.
    @Test func numbersAreUsedAgain() throws {
        let pages = try Pages(memory: 2 << 20)
        let registry = ProviderRegistry(pages: pages)
        for round in 0..<20 as Range<UInt64> {
            let image = PatternImage(size: 1 << 20, key: round)
            let provider = try registry.open(ImageIdentity(device: 2, inode: round)) { image }
            let scratch = TestBuffer(1 << 20)
            let buffer = scratch.buffer(1 << 20)
            try Pager(provider).read(into: buffer, at: 0)
            #expect(scratch.holds(buffer, image.pattern, at: 0))
            try registry.close(provider)
        }
    }

    /// The last client's close gives the error of what was lost, even if the Writeback is just looking after the image
    /// and would close what its clients have left.
    @Test func theLastCloseHasTheError() throws {
        for _ in 0..<100 {
            let rig = try HookedRig(
                image: HookedImage(size: 1 << 20) { call, _ in call == .sync ? AccessError(EIO) : nil })
            // A trim is lost if the next sync fails.
            try rig.pager.trim(0..<8192, forced: false)
            #expect(throws: AccessError(EIO)) { try rig.pager.flush() }
            let isOver = Tally()
            let watch = Thread.start {
                while isOver.count == 0 {
                    rig.registry.visitEach { _, _ in sched_yield() }
                    rig.registry.closeIfLeft(rig.provider)
                }
            }
            #expect(throws: AccessError(EIO)) { try rig.registry.close(rig.provider) }
            isOver.add()
            pthread_join(watch, nil)
            #expect(rig.pages.memory.freeFrames == rig.frames)
        }
    }

    /// Clients that come at once open it once, and the last to go closes it.
    @Test func clientsComeAtOnce() throws {
        let pages = try Pages(memory: 1 << 20)
        let registry = ProviderRegistry(pages: pages)
        let opened = Tally()
        let verdict = Verdict()
        let identity = first
        Thread.run(8) { number in
            for _ in 0..<50 {
                let image = PatternImage(size: 65536)
                guard let provider = try? registry.open(identity, accessor: { image }) else {
                    return verdict.blame("an open failed")
                }
                if provider.accessor === image { opened.add() }
                let scratch = TestBuffer(5000)
                let buffer = scratch.buffer(5000)
                try? Pager(provider).read(into: buffer, at: Int64(number) * 5000)
                verdict.expect(scratch.holds(buffer, image.pattern, at: Int64(number) * 5000), "wrong bytes")
                try? registry.close(provider)
            }
        }
        verdict.report("8 clients")
        #expect(opened.count >= 1)
        pages.checkInvariants(isQuiet: true)
        #expect(pages.memory.freeFrames == pages.memory.metadata.frames)
    }
}
