import Glibc
import Synchronization
import Testing

@testable import Paging

/// What a failed write-out leaves behind, and that nothing of it stays once the data is out or gone.
@Suite struct StandingFailureTests {
    /// A page that could not be written out is trimmed while its neighbour in the same leaf is on its way out. Then
    /// nothing is dirty, and flushes succeed again.
    @Test func aTrimEndsTheFailureOfWhatItDrops() throws {
        let gate = Gate()
        let rig = try PagingRig(
            image: HookedImage(size: 1 << 20) { call, pages in
                guard call == .writeOut else { return nil }
                if pages.contains(0) { return AccessError(EIO) }
                gate.pass()
                return nil
            })
        try rig.write(1, count: 4096, at: 0)
        #expect(throws: AccessError(EIO)) { try rig.pager.flush() }
        try rig.write(2, count: 4096, at: 5 * 4096)
        let neighbour = Thread.start { try? rig.provider.mapper.writeOut(5..<6) }
        try Watchdog.guarding("a trim ends the failure of what it drops") { () throws in
            Thread.wait { gate.arrivals == 1 }
            try rig.pager.trim(0..<4096, forced: false)
            gate.open()
            pthread_join(neighbour, nil)
        }
        #expect(rig.provider.ledger.failedLeaves == 0)
        try rig.pager.flush()
        rig.pages.checkInvariants(isQuiet: true)
        try rig.end()
    }

    /// An image is slow to zero a range with something dirty in it. What is dirty elsewhere goes out by itself all the
    /// same. A flush waits for all of it.
    @Test func aLongZeroHoldsUpNoWriteBackElsewhere() throws {
        let gate = Gate()
        let written = Atomic<Bool>(false)
        let rig = try PagingRig(
            memory: 4 << 20,
            image: HookedImage(size: 16 << 20) { call, pages in
                if call == .zero { gate.pass() }
                if call == .writeOut, pages.contains(2048) { written.store(true, ordering: .relaxed) }
                return nil
            })
        try rig.write(1, count: 4096, at: 0)
        try rig.write(2, count: 4096, at: 2048 * 4096)
        let verdict = Verdict()
        let zeroing = Thread.start {
            do throws(AccessError) {
                try rig.pager.zero(0..<1 << 20, mayTrim: false, onlyIfFast: false, forced: false)
            } catch {
                verdict.blame("the zero failed: \(error)")
            }
        }
        try Watchdog.guarding("a long zero holds up no write-back elsewhere") { () throws in
            Thread.wait { gate.arrivals == 1 }
            let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 1)
            Thread.wait { written.load(ordering: .relaxed) }
            let flushing = Companion { try? rig.pager.flush() }
            flushing.waitUntilAsleep()
            verdict.expect(!flushing.hasEnded, "a flush left out a reserved page")
            gate.open()
            pthread_join(zeroing, nil)
            flushing.join()
            writeback.stop()
        }
        verdict.report("a long zero")
        #expect(rig.image.byte(ofPage: 0) == 0)
        #expect(rig.image.byte(ofPage: 2048) == 2)
        try rig.end()
    }
}
