import Glibc
import TestSupport
import Testing

@testable import Paging

/// Writers at the dirty limit: each is admitted in its turn, and none keeps what others could use.
@Suite struct AdmissionTests {
    private static let size: Int64 = 64 << 20
    private static let largePages = 256

    /// Sixteen writers of single pages are ahead of the disk all the time. A write of 1 MiB then comes, and ends
    /// nevertheless. The test counts pages that go out, not time. Between its parts the large write is not in the
    /// queue, and others are served. How many depends on how soon its thread gets a processor. So the limit is a
    /// quarter of what would go out without an order. AdmissionQueueTests checks the order itself.
    @Test func aLargeWriteIsNotPassedBySmallOnes() throws {
        let out = Tally()
        let rig = try PagingRig(
            memory: 4 << 20,
            image: HookedImage(size: Self.size) { call, pages in
                guard call == .writeOut else { return nil }
                usleep(500)
                for _ in pages { out.add() }
                return nil
            })
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 60_000)
        let dirtyLimit = rig.pages.dirtyLimit
        // Without an order the small writes would go on until this much is out, and the test fails.
        let (isOver, end) = (Tally(), 40 * dirtyLimit.limit)
        Watchdog.guarding("a large write among small ones") {
            let small = (0..<16).map { number in
                Thread.start {
                    var random = SplitMix64(seed: 6, stream: UInt64(number))
                    while isOver.count == 0, out.count < end {
                        try? rig.write(7, count: 4096, at: Int64(random.pick(0...8000)) * 4096)
                    }
                }
            }
            Thread.wait { dirtyLimit.waits > 100 }
            let after = Tally()
            let large = Companion {
                try? rig.write(9, count: Self.largePages * 4096, at: 40 << 20)
                for _ in 0..<out.count { after.add() }
                isOver.add()
            }
            // What goes out before it has queued is none of its business.
            large.waitUntilAsleep()
            let (before, admitted) = (out.count, dirtyLimit.pages)
            large.join()
            let during = after.count - before
            #expect(admitted > dirtyLimit.limit / 2)
            for thread in small { pthread_join(thread, nil) }
            #expect(during < end / 4, "\(during) pages with \(admitted) before")
        }
        try rig.pager.flush()
        #expect(rig.image.byte(ofPage: 40 << 8) == 9)
        writeback.stop()
        try rig.end()
    }

    /// Writers that wait for a slow zero have nothing admitted, and do not hold up a write elsewhere.
    @Test func whoWaitsForAReservationHasNothing() throws {
        let gate = Gate()
        let rig = try heldUpRig(.zero, gate)
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 60_000)
        Watchdog.guarding("writers that wait for a reservation") {
            let zero = Companion {
                try? rig.pager.zero(0..<16 << 20, mayTrim: false, onlyIfFast: false, forced: false)
            }
            Thread.wait { gate.arrivals == 1 }
            let writers = (0..<12).map { number in
                Companion { try? rig.write(3, count: 1 << 20, at: Int64(number) << 20) }
            }
            for writer in writers { writer.waitUntilAsleep() }
            #expect(rig.pages.dirtyLimit.pages == 0)
            let elsewhere = Companion { try? rig.write(4, count: 1 << 20, at: 32 << 20) }
            Thread.wait { elsewhere.hasEnded }
            #expect(elsewhere.hasEnded, "a write elsewhere waits too")
            gate.open()
            for companion in writers + [zero, elsewhere] { companion.join() }
        }
        try rig.pager.flush()
        for number in 0..<12 { #expect(rig.image.byte(ofPage: UInt64(number) << 8) == 3) }
        writeback.stop()
        try rig.end()
    }

    /// Nor have writers of parts of pages that the image is slow to read.
    @Test func whoWaitsForAFillHasNothing() throws {
        let gate = Gate()
        let rig = try heldUpRig(.populate, gate)
        Watchdog.guarding("writers that wait for a fill") {
            let writers = (0..<12).map { number in
                Companion { try? rig.write(3, count: 100, at: Int64(number) << 20 | 50) }
            }
            Thread.wait { gate.arrivals == 12 }
            #expect(rig.pages.dirtyLimit.pages == 0)
            gate.open()
            for companion in writers { companion.join() }
            #expect(rig.pages.dirtyLimit.pages == 12)
        }
        try rig.pager.flush()
        try rig.end()
    }

    /// Nor has a writer of a page that is on its way out: only that page counts.
    @Test func whoWaitsForAWriteOutHasNothing() throws {
        let gate = Gate()
        let rig = try heldUpRig(.writeOut, gate)
        try rig.write(1, count: 4096, at: 0)
        Watchdog.guarding("writers that wait for a write-out") {
            let flush = Companion { try? rig.pager.flush() }
            Thread.wait { gate.arrivals == 1 }
            let writer = Companion { try? rig.write(2, count: 4096, at: 0) }
            let large = Companion { try? rig.write(2, count: 1 << 20, at: 0) }
            for companion in [writer, large] { companion.waitUntilAsleep() }
            #expect(rig.pages.dirtyLimit.pages == 1)
            gate.open()
            for companion in [flush, writer, large] { companion.join() }
        }
        try rig.pager.flush()
        #expect(rig.image.byte(ofPage: 0) == 2)
        try rig.end()
    }

    /// Nor has a writer that waits for memory.
    @Test func whoWaitsForMemoryHasNothing() throws {
        let rig = try heldUpRig(.trim, Gate())
        var regions: [Region] = []
        while let region = rig.pages.takeRegion(order: Region.maxOrder, room: 1) { regions.append(region) }
        Watchdog.guarding("writers that wait for memory") {
            let writers = (0..<4).map { number in
                Companion { try? rig.write(5, count: 1 << 20, at: Int64(number) << 20) }
            }
            Thread.wait { rig.pages.counters.waits >= 4 }
            for writer in writers { writer.waitUntilAsleep() }
            #expect(rig.pages.dirtyLimit.pages == 0)
            for region in regions { rig.pages.give(region) }
            for writer in writers { writer.join() }
        }
        try rig.pager.flush()
        try rig.end()
    }

    /// A rig with an image on which `call` waits at `gate`.
    private func heldUpRig(_ call: HookedImage.Call, _ gate: Gate) throws -> HookedRig {
        try PagingRig(
            memory: 12 << 20,
            image: HookedImage(size: Self.size) { asked, _ in
                if asked == call { gate.pass() }
                return nil
            })
    }
}
