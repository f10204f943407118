import Glibc
import TestSupport
import Testing

@testable import Paging

/// The memory is limited, and kept for the next server. In blocks that are given back there is nothing: they read as
/// zeroes then, as holes of a file do.
@Suite struct KeptLimitTests {
    private static let size: Int64 = 8 << 20

    private struct Holes: MemoryBacking {
        let blockBytes = 64 << 10
        func release(_ block: UnsafeMutableRawBufferPointer) throws(AccessError) {
            memset(block.baseAddress!, 0, block.count)
        }
        func allocate(_ block: UnsafeMutableRawBufferPointer) throws(AccessError) {}
    }

    /// A server dies with a smaller memory. The next one finds in each frame what its word says, and all that was
    /// answered. (Deaths in the midst of it are for the scheduler, and for the tests of real servers.)
    @Test(arguments: Seeds.of(plain: 4, optimised: 20, sanitized: 1))
    func aDeathWithASmallerMemory(seed: UInt64) throws {
        let image = HookedImage(size: Self.size, pattern: Pattern(key: seed))
        let first = try KeptRig(frames: 1024, images: [image], backing: Holes())
        let limit = MemoryLimit(pages: first.pages, registry: first.registry)
        _ = try first.read(0..<Self.size)
        for page in Int64(0)..<200 { try first.write(7, at: page * 8192..<page * 8192 + 4096) }
        var random = SplitMix64(seed: seed)
        try Watchdog.guarding("a kept memory is limited, seed \(seed)") { () throws in
            for _ in 0..<4 {
                try limit.set(first.pages.memory.bytes - random.pick(0...45) * 65536)
                usleep(UInt32(random.pick(0...2000)))
            }
            Thread.wait { limit.progress.isReached }
        }
        let second = try KeptRig(after: first.death(), images: [image], backing: Holes())
        #expect(second.takenOver[0].owedPages == 200)
        second.pages.checkInvariants(isQuiet: true)
        for page in Int64(0)..<2048 {
            let found = try second.read(page * 4096..<page * 4096 + 1)[0]
            let written = page % 2 == 0 && page < 400
            #expect(found == (written ? 7 : image.byte(ofPage: UInt64(page))), "page \(page)")
        }
        try second.providers[0].flush()
        #expect(image.byte(ofPage: 398) == 7)
        try second.close()
        limit.stop()
    }
}
