import Glibc
import Testing

@testable import Paging

/// A sync that fails while something is on its way out: it may have lost that, which has then to go once more, without
/// being called a write-out that failed.
@Suite struct SyncFailedMeanwhileTests {
    /// One image on which writes of page 7 are counted, and held up until they may go on; and what is told of it.
    private struct Held {
        let gate = Gate()
        let readGate = Gate()
        let notices = Guarded<[Notice]>([])
        let rig: PagingRig<ToldImage>

        /// - Parameter heldRead: The page whose reading is held up.
        init(heldRead: UInt64? = nil) throws {
            let (gate, readGate, notices) = (gate, readGate, notices)
            let image = ToldImage(size: 1 << 20) { pages in
                if pages.contains(7) { gate.pass() }
            } reading: { pages in
                if let heldRead, pages.contains(heldRead) { readGate.pass() }
            }
            rig = try PagingRig(image: image) { notice in notices.withLock { $0.append(notice) } }
        }

        /// Page 7 begins to be written out, as by the crew, and hangs.
        func beginWriteOut() -> pthread_t {
            let rig = rig
            let thread = Thread.start { _ = try? rig.provider.mapper.writeOut(7..<8) }
            let gate = gate
            Thread.wait { gate.arrivals == 1 }
            return thread
        }

        /// A sync fails, and then they work again.
        func failSync() {
            rig.image.fail(.sync, with: EIO)
            #expect(throws: AccessError(EIO)) { try rig.provider.sync() }
            rig.image.fail(.sync, with: 0)
        }

        /// Nothing was said but that a sync failed and that they work again.
        func expectNoTalkOfWriting() {
            let told = notices.withLock { $0 }
            #expect(told == [.syncFailed(AccessError(EIO), isLost: false), .syncWorksAgain(failures: 1)])
        }
    }

    /// A flush that has begun after the sync failed, and finds page 7 still on its way, is not answered before that has
    /// gone out once more.
    @Test func aFlushWritesItAnew() throws {
        let held = try Held()
        let (rig, gate) = (held.rig, held.gate)
        let verdict = Verdict()
        try rig.write(1, count: 4096, at: 4096 * 7)
        Watchdog.guarding("a flush writes anew") {
            let writing = held.beginWriteOut()
            held.failSync()
            let flushing = Thread.start {
                verdict.expect((try? rig.pager.flush()) != nil, "the flush fails")
                let times = gate.arrivals
                verdict.expect(times == 2, "page 7 went out \(times) times before the flush was answered")
            }
            // So that it waits for the page. If it is slow to, this proves less, but nothing false.
            usleep(100_000)
            gate.open()
            for thread in [writing, flushing] { pthread_join(thread, nil) }
        }
        verdict.report("the flush")
        held.expectNoTalkOfWriting()
        #expect(rig.pages.counters.failedWrites == 0)
        try rig.end()
    }

    /// A flush that had begun before it fails, and the next one writes it anew.
    @Test func anEarlierFlushFails() throws {
        let held = try Held()
        let (rig, gate) = (held.rig, held.gate)
        let verdict = Verdict()
        try rig.write(1, count: 4096, at: 4096 * 7)
        Watchdog.guarding("an earlier flush fails") {
            let flushing = Thread.start {
                verdict.expect((try? rig.pager.flush()) == nil, "the flush succeeds")
            }
            Thread.wait { gate.arrivals == 1 }
            held.failSync()
            gate.open()
            pthread_join(flushing, nil)
        }
        verdict.report("the flush")
        try rig.pager.flush()
        #expect(gate.arrivals == 2)
        held.expectNoTalkOfWriting()
        try rig.end()
    }

    /// A forced write whose first page somebody else writes out at once, when a sync fails before its last
    /// page has been filled, is not answered as if it were durable.
    @Test func aForcedWriteFails() throws {
        let held = try Held(heldRead: 8)
        let (rig, gate, readGate) = (held.rig, held.gate, held.readGate)
        let verdict = Verdict()
        try Watchdog.guarding("a forced write fails") { () throws in
            let forcing = Thread.start {
                let isAnswered = (try? rig.write(1, count: 5000, at: 4096 * 7, forced: true)) != nil
                verdict.expect(!isAnswered || gate.arrivals == 2, "it is answered, but page 7 may be lost")
            }
            Thread.wait { readGate.arrivals == 1 }
            let writing = held.beginWriteOut()
            held.failSync()
            readGate.open()
            // As above: so that it waits for the page.
            usleep(100_000)
            gate.open()
            for thread in [writing, forcing] { pthread_join(thread, nil) }
        }
        verdict.report("the forced write")
        try rig.pager.flush()
        #expect(gate.arrivals == 2)
        try rig.end()
    }

    /// Writers at the dirty limit wait, and do not fail, while syncs fail and the crew goes on writing out.
    @Test func writersAtTheLimitGoOn() throws {
        let notices = Guarded<[Notice]>([])
        let rig = try PagingRig(image: ToldImage(size: 16 << 20) { _ in usleep(200) }) { notice in
            notices.withLock { $0.append(notice) }
        }
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry)
        let verdict = Verdict()
        rig.image.fail(.sync, with: EIO)
        Watchdog.guarding("writers at the limit") {
            Thread.run(4) { number in
                for piece in 0..<60 as Range<Int64> {
                    let offset = (Int64(number) * 64 + piece) * 65_536
                    do throws(AccessError) {
                        try rig.write(1, count: 65_536, at: offset)
                        if piece % 4 == 0 { _ = try? rig.provider.sync() }
                    } catch {
                        verdict.blame("a write failed: \(error)")
                    }
                }
            }
        }
        verdict.report("writers")
        writeback.stop()
        let told = notices.withLock { $0 }
        #expect(!told.contains { if case .writeOutFails = $0 { true } else { false } }, "\(told)")
        #expect(throws: AccessError(EIO)) { try rig.registry.close(rig.provider) }
    }
}
