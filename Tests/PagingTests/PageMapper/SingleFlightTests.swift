import Glibc
import Testing

@testable import Paging

/// A page is read once however many threads ask for it, and while it is read everything else goes on.
@Suite struct SingleFlightTests {
    /// Eight threads ask for one cold page. The first one's read is held up until the others wait. There is one read in
    /// all.
    @Test func threadsShareOneRead() throws {
        let gate = Gate()
        let rig = try Rig(image: PatternImage(size: 1 << 20) { _ in gate.pass() })
        let verdict = Verdict()
        Watchdog.guarding("threads share one read") {
            let threads = (0..<8).map { number in
                Thread.start {
                    let scratch = TestBuffer(4096)
                    let buffer = scratch.buffer(100 + number)
                    try? rig.pager.read(into: buffer, at: Int64(number))
                    verdict.expect(scratch.holds(buffer, rig.image.pattern, at: Int64(number)), "wrong bytes")
                }
            }
            Thread.wait { gate.arrivals == 1 && rig.pages.counters.waits == 7 }
            gate.open()
            for thread in threads { pthread_join(thread, nil) }
        }
        verdict.report("8 threads")
        #expect(rig.image.reads.load(ordering: .relaxed) == 1)
        #expect(rig.pages.counters.fills == 1)
        #expect(rig.provider.counters.waits == rig.pages.counters.waits && rig.provider.counters.waits >= 7)
        try rig.end()
    }

    /// No lock is held across I/O (invariant 7). While a read of the image hangs, these all make progress: a page
    /// beside it, a resident page of the same chunk, a page of another chunk in the same shard, an open, a close and
    /// the counters.
    @Test func nothingWaitsForAnothersRead() throws {
        let gate = Gate()
        let rig = try Rig(
            memory: 4 << 20,
            image: PatternImage(size: 1 << 40) { pages in if pages.contains(7) { gate.pass() } })
        try rig.pager.populate(4096 * 100..<4096 * 101)
        let hanging = Thread.start { _ = rig.readError(4096, at: 4096 * 7) }
        try Watchdog.guarding("nothing waits for another's read") { () throws in
            Thread.wait { gate.arrivals == 1 }
            #expect(try rig.reads(4096, at: 4096 * 8))
            #expect(try rig.reads(4096, at: 4096 * 6))
            #expect(try rig.reads(4096, at: 4096 * 100))
            #expect(try rig.reads(4096, at: chunkInSameShard(rig) * Chunk.size))
            let other = try rig.registry.open(ImageIdentity(device: 9, inode: 9)) { PatternImage(size: 65536) }
            try Pager(other).populate(0..<65536)
            try rig.registry.close(other)
            _ = rig.pages.counters
            rig.pages.checkInvariants()
            gate.open()
            pthread_join(hanging, nil)
        }
        try rig.end()
    }

    /// A chunk other than the first, in the first one's shard.
    private func chunkInSameShard(_ rig: Rig) -> Int64 {
        let map = rig.pages.accessMap(ofImage: rig.provider.image)
        return (1...1 << 20).first { map.shard(of: UInt64($0) << 8) == map.shard(of: 0) }.map(Int64.init)!
    }

    /// A request over a page that is being read, and many that are not, holds nothing while it waits. Neighbours in the
    /// hanging read's chunk are served, and others can recycle what the waiting request had been lent.
    @Test func whoWaitsHoldsNothing() throws {
        let gate = Gate()
        let rig = try Rig(image: PatternImage(size: 64 << 20) { pages in if pages.contains(40) { gate.pass() } })
        let verdict = Verdict()
        try Watchdog.guarding("a waiting request holds nothing") { () throws in
            let hanging = Thread.start { _ = rig.readError(1, at: 4096 * 40) }
            Thread.wait { gate.arrivals == 1 }
            let waiting = Thread.start {
                verdict.expect((try? rig.reads(4096 * 80, at: 0)) == true, "the waiting request gets its bytes")
            }
            Thread.wait { rig.pages.counters.waits >= 1 }
            // All other frames are available: the request that waits has none, the hanging one has its own.
            #expect(try rig.reads(8 << 20, at: 16 << 20))
            for page in 0..<40 as Range<UInt64> { #expect(rig.pins(page) == 0) }
            gate.open()
            for thread in [hanging, waiting] { pthread_join(thread, nil) }
        }
        verdict.report("the request that waits")
        try rig.end()
    }
}
