import Glibc
import Testing

@testable import Paging

/// A sync fails while something is on its way out. It may have lost that, so it must go out once more, without counting
/// as a failed write-out.
@Suite struct SyncFailedMeanwhileTests {
    /// An image on which writes of page 7 are counted, and held up until they may go on; and the notices about it.
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
            #expect(throws: AccessError(EIO)) { try rig.provider.durability.sync() }
            rig.image.fail(.sync, with: 0)
        }

        /// The only notices are of a failed sync, and that syncs work again.
        func expectNoTalkOfWriting() {
            let told = notices.withLock { $0 }
            #expect(told == [.syncFailed(AccessError(EIO), isLost: false), .syncWorksAgain(failures: 1)])
        }
    }

    /// A flush has begun after the sync failed, and finds page 7 still on its way. It is not answered before the page
    /// has gone out once more.
    @Test func aFlushWritesItAnew() throws {
        let held = try Held()
        let (rig, gate) = (held.rig, held.gate)
        let verdict = Verdict()
        try rig.write(1, count: 4096, at: 4096 * 7)
        Watchdog.guarding("a flush writes anew") {
            let writing = held.beginWriteOut()
            held.failSync()
            let flushing = Companion {
                verdict.expect((try? rig.pager.flush()) != nil, "the flush fails")
                let times = gate.arrivals
                verdict.expect(times == 2, "page 7 went out \(times) times before the flush was answered")
            }
            flushing.waitUntilAsleep()
            verdict.expect(!flushing.hasEnded, "the flush does not wait for page 7")
            gate.open()
            pthread_join(writing, nil)
            flushing.join()
        }
        verdict.report("the flush")
        held.expectNoTalkOfWriting()
        #expect(rig.pages.counters.failedWrites == 0)
        try rig.end()
    }

    /// A flush that had begun before the failure fails, and the next one writes the page again.
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

    /// Another thread writes out a forced write's first page at once. A sync fails before the last page has been
    /// filled. The forced write is not answered as if it were durable.
    @Test func aForcedWriteFails() throws {
        let held = try Held(heldRead: 8)
        let (rig, gate, readGate) = (held.rig, held.gate, held.readGate)
        let verdict = Verdict()
        try Watchdog.guarding("a forced write fails") { () throws in
            let forcing = Companion {
                let isAnswered = (try? rig.write(1, count: 5000, at: 4096 * 7, forced: true)) != nil
                verdict.expect(!isAnswered || gate.arrivals == 2, "the write is answered, but page 7 may be lost")
            }
            Thread.wait { readGate.arrivals == 1 }
            let writing = held.beginWriteOut()
            held.failSync()
            readGate.open()
            forcing.waitUntilAsleep()
            gate.open()
            pthread_join(writing, nil)
            forcing.join()
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
                        if piece % 4 == 0 { _ = try? rig.provider.durability.sync() }
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
