import Glibc
import TestSupport
import Testing

@testable import Paging

/// The memory is limited while disks hang or fail, or the system refuses.
@Suite struct LimitTroubleTests {
    /// The reads and write-outs of one image hang, in blocks all over the memory. Other blocks are given back instead,
    /// and the other image is served all the while. When the disk goes on, all is as if it had not hung.
    @Test func besideADiskThatHangs() throws {
        let gate = Gate()
        let rig = try LimitRig(images: 2, isShared: true) { index, call in
            if index == 0, call == .populate || call == .writeOut { gate.pass() }
            return nil
        }
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 1)
        try Watchdog.guarding("a limit beside a disk that hangs") { () throws in
            try rig.read(0..<2000, ofImage: 1)
            var stuck = (0..<8).map { number in
                Thread.start {
                    let first = UInt64(number * 300)
                    try? rig.read(first..<first + 1)
                    try? rig.read(first + 100..<first + 101)
                }
            }
            stuck.append(Thread.start { for page in UInt64(5000)..<5200 { try? rig.write(1, page: page) } })
            Thread.wait { gate.arrivals >= 9 }
            try rig.set(less: 80)
            rig.wait(less: 80)
            #expect(!gate.isOpened)
            for page in UInt64(0)..<4096 {
                let found = try rig.byte(ofPage: page, ofImage: 1)
                #expect(found == rig.images[1].byte(ofPage: page))
            }
            for page in UInt64(0)..<300 { try rig.write(2, page: page, ofImage: 1) }
            try rig.providers[1].flush()
            gate.open()
            for thread in stuck { pthread_join(thread, nil) }
        }
        for page in UInt64(5000)..<5200 {
            let found = try rig.byte(ofPage: page)
            #expect(found == 1)
        }
        try rig.set(less: 0)
        Watchdog.guarding("all of it again") { rig.wait(less: 0) }
        rig.limit.stop()
        for provider in rig.providers { try rig.registry.close(provider) }
        writeback.stop()
        rig.pages.checkInvariants(isQuiet: true)
        #expect(rig.pages.memory.freeFrames == rig.pages.frames)
    }

    /// Much is dirty and cannot go out, because its disk hangs. The memory becomes only so small that reads of another
    /// image keep some.
    @Test func muchIsDirtyOnADiskThatHangs() throws {
        let gate = Gate()
        let rig = try LimitRig(images: 2, isShared: true, dirtyShare: 0.6) { index, call in
            if index == 0, call == .writeOut { gate.pass() }
            return nil
        }
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 3_600_000)
        try Watchdog.guarding("much is dirty on a disk that hangs") { () throws in
            for page in UInt64(0)..<600 { try rig.write(1, page: page) }
            try rig.read(0..<1000, ofImage: 1)
            try rig.set(less: 96)
            Thread.wait { rig.limit.progress.obstacle == .inUse }
            let frames = rig.pages.frames - rig.pages.memory.withheldFrames.count
            #expect(frames - rig.pages.dirtyLimit.pages >= 512 / 8)
            #expect(rig.limit.progress.held > rig.bytes(less: 96) && !gate.isOpened)
            try rig.read(0..<1000, ofImage: 1)
            gate.open()
            rig.wait(less: 96)
            try rig.providers[0].flush()
        }
        for page in UInt64(0)..<600 { #expect(rig.images[0].byte(ofPage: page) == 1) }
        writeback.stop()
        try rig.end()
    }

    /// A sync that fails while a limit is on its way loses nothing that is in memory: what counts is the memory that
    /// there is, and not what there will be.
    @Test func aFailingSyncMeanwhile() throws {
        let isFailing = Guarded(true)
        let rig = try LimitRig(dirtyShare: 0.6) { _, call in
            call == .sync && isFailing.withLock { $0 } ? AccessError(EIO) : nil
        }
        try Watchdog.guarding("a sync fails beside a limit") { () throws in
            for page in UInt64(0)..<600 { try rig.write(1, page: page) }
            rig.backing.releaseError.store(EPERM, ordering: .relaxed)
            try rig.set(less: 100)
            Thread.wait { rig.limit.progress.obstacle == .notTaken(AccessError(EPERM)) }
            #expect(rig.pages.sizes.frames * 15 / 16 < 600)
            #expect(throws: AccessError(EIO)) { try rig.providers[0].flush() }
            #expect(rig.providers[0].lost == nil)
            isFailing.withLock { $0 = false }
            try rig.providers[0].flush()
            rig.backing.releaseError.store(0, ordering: .relaxed)
            rig.wait(less: 100)
        }
        for page in UInt64(0)..<600 { #expect(rig.images[0].byte(ofPage: page) == 1) }
        try rig.end()
    }

    /// More is dirty than the smaller memory may have. It goes out, and writers wait until it has.
    @Test func moreIsDirtyThanMayBe() throws {
        let rig = try LimitRig(dirtyShare: 0.9)
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 3_600_000)
        try Watchdog.guarding("much is dirty") { () throws in
            for page in UInt64(0)..<900 { try rig.write(3, page: page) }
            try rig.set(less: 100)
            rig.wait(less: 100)
            for page in UInt64(0)..<2000 { try rig.write(4, page: page) }
            #expect(rig.pages.dirtyLimit.limit == 403)
            Thread.wait { rig.pages.dirtyLimit.pages <= 403 }
            try rig.providers[0].flush()
        }
        for page in UInt64(0)..<2000 { #expect(rig.images[0].byte(ofPage: page) == 4) }
        writeback.stop()
        try rig.end()
    }

    /// Nothing can be written out. The memory becomes only as small as what is dirty allows. Requests that need memory
    /// which will never come fail with the disk's error, as they do without a limit, and none of them hangs. When the
    /// disk goes on, the limit is reached.
    @Test func nothingCanBeWrittenOut() throws {
        let isFull = Guarded(true)
        let rig = try LimitRig(dirtyShare: 0.9) { _, call in
            call == .writeOut && isFull.withLock { $0 } ? AccessError(ENOSPC) : nil
        }
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 10)
        try Watchdog.guarding("nothing can be written out") { () throws in
            for page in UInt64(0)..<1700 { try rig.write(5, page: page) }
            try rig.set(less: 100)
            Thread.wait { rig.limit.progress.obstacle == .inUse }
            #expect(rig.limit.progress.held > rig.bytes(less: 100))
            // All frames that are left may be dirty now. A read either finds one, or fails.
            for page in UInt64(3000)..<3300 {
                do throws(AccessError) {
                    try Pager(rig.providers[0]).populate(BasePage.offset(of: page)..<BasePage.offset(of: page + 1))
                } catch { #expect(error == AccessError(ENOSPC)) }
            }
            var failure: AccessError?
            do throws(AccessError) { try rig.write(6, page: 4000) } catch { failure = error }
            #expect(failure == AccessError(ENOSPC))
            isFull.withLock { $0 = false }
            rig.wait(less: 100)
            try rig.providers[0].flush()
        }
        for page in UInt64(0)..<1700 { #expect(rig.images[0].byte(ofPage: page) == 5) }
        writeback.stop()
        try rig.end()
    }

    /// A system that does not take memory, or does not give it, is asked again, and the server goes on with what it
    /// has.
    @Test func theSystemRefuses() throws {
        let rig = try LimitRig()
        try Watchdog.guarding("the system refuses") { () throws in
            try rig.read(0..<2000)
            rig.backing.releaseError.store(EPERM, ordering: .relaxed)
            try rig.set(less: 40)
            Thread.wait { rig.limit.progress.obstacle == .notTaken(AccessError(EPERM)) }
            try rig.read(2000..<4000)
            rig.backing.releaseError.store(0, ordering: .relaxed)
            rig.wait(less: 40)
            rig.backing.allocateError.store(ENOSPC, ordering: .relaxed)
            try rig.set(less: 10)
            Thread.wait { rig.limit.progress.obstacle == .notGiven(AccessError(ENOSPC)) }
            #expect(rig.limit.progress.held == rig.bytes(less: 40))
            #expect(rig.pages.sizes.frames == 2048 - 40 * LimitRig.block)
            try rig.read(0..<4000)
            rig.backing.allocateError.store(0, ordering: .relaxed)
            rig.wait(less: 10)
        }
        try rig.end()
    }

    /// A new limit replaces one that is under way or stuck, downwards and upwards.
    @Test func aNewLimitReplacesTheOld() throws {
        let rig = try LimitRig()
        try Watchdog.guarding("limits replace each other") { () throws in
            try rig.read(0..<2000)
            for round in 0..<60 {
                let order = try rig.limit.set(rig.bytes(less: round * 37 % 100))
                #expect(rig.limit.progress.orders == order)
                if round % 7 == 0 { usleep(1000) }
            }
            try rig.set(less: 33)
            rig.wait(less: 33)
            // One that is stuck: nobody waits for it.
            rig.backing.allocateError.store(ENOSPC, ordering: .relaxed)
            try rig.set(less: 0)
            Thread.wait { rig.limit.progress.obstacle != nil }
            try rig.set(less: 34)
            rig.wait(less: 34)
            rig.backing.allocateError.store(0, ordering: .relaxed)
        }
        #expect(rig.pages.sizes.frames == 2048 - 34 * LimitRig.block)
        try rig.end()
    }
}
