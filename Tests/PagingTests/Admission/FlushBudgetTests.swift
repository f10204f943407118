import Testing

@testable import Paging

/// How much may be dirty, from series of what a disk does, in times of the tests' own making.
@Suite struct FlushBudgetTests {
    /// A disk that is watched as the pager watches one, a step at a time.
    private struct Trial {
        var budget: FlushBudget
        var now = 1000.0
        var written = 0

        init(flushTime: Double = 10) { budget = FlushBudget(flushTime: flushTime) }

        var pages: Int { budget.pages(unsynced: 0, at: now) }

        /// A write-out keeps the disk busy for so many seconds, at so many pages a second.
        mutating func writeOut(_ seconds: Double, rate: Double, step: Double = 0.05) {
            budget.beginWriteOut(at: now, written: written)
            let (start, before) = (now, written)
            while now < start + seconds {
                now += step
                written = before + Int((now - start) * rate)
                budget.note(now, written)
            }
            budget.endWriteOut(at: now, written: written)
        }

        mutating func idle(_ seconds: Double) {
            now += seconds
            budget.note(now, written)
        }

        mutating func sync(_ seconds: Double, pages: Int, isGood: Bool = true) {
            budget.beginSync(at: now)
            now += seconds
            budget.endSync(at: now, pages: pages, isGood: isGood)
        }
    }

    /// Before anything is known 64 MiB may be dirty, in less than ten seconds a part of that, and time alone changes
    /// nothing.
    @Test(arguments: [(1.0, 1638), (5, 8192), (10, 16384), (600, 16384)])
    func startsAt64Mebibytes(flushTime: Double, pages: Int) {
        var trial = Trial(flushTime: flushTime)
        #expect(abs(trial.pages - pages) <= 1)
        trial.idle(100)
        #expect(abs(trial.pages - pages) <= 1)
    }

    /// It comes to what goes out in a third of the time, from above and from below.
    @Test(arguments: [300.0, 3000, 100_000]) func comesToTheRate(rate: Double) {
        var trial = Trial()
        trial.writeOut(15, rate: rate)
        let wanted = rate * 10 / 3
        #expect(Double(trial.pages) > wanted * 0.95 && Double(trial.pages) < wanted * 1.05, "\(trial.pages)")
    }

    /// Without a measurement of more it does not grow: a disk that is as fast as was taken for granted stays at that.
    @Test func growsOnlyWithTheRate() {
        var trial = Trial()
        trial.writeOut(30, rate: 4915)
        #expect(abs(trial.pages - 16384) < 200)
    }

    /// However slow the disk, 1 MiB may be dirty; however slow its syncs too.
    @Test func neverBelowOneMebibyte() {
        var trial = Trial()
        trial.writeOut(60, rate: 1)
        #expect(trial.pages == 256)
        trial = Trial()
        for _ in 0..<20 { trial.sync(30, pages: 1) }
        #expect(trial.pages == 256)
    }

    /// What is known of a disk that has nothing to do stays, for however long, and short write-outs between add up.
    @Test func anIdleDiskKeepsItsEstimate() {
        var trial = Trial()
        trial.writeOut(20, rate: 50_000)
        let before = trial.pages
        for _ in 0..<100 {
            trial.idle(60)
            trial.writeOut(0.01, rate: 50_000, step: 0.005)
        }
        #expect(Double(abs(trial.pages - before)) < Double(before) * 0.02)
        for _ in 0..<400 {
            trial.idle(60)
            trial.writeOut(0.02, rate: 5000, step: 0.01)
        }
        #expect(Double(trial.pages) < Double(before) * 0.2)
    }

    /// A disk that falls to a tenth has halved it within two seconds.
    @Test func aSlowerDiskHalvesIt() {
        var trial = Trial()
        trial.writeOut(20, rate: 50_000)
        let before = trial.pages
        trial.writeOut(2, rate: 5000)
        #expect(trial.pages <= before / 2)
    }

    /// So has a disk that does nothing at all any more, while the write-out goes on.
    @Test(arguments: [0.1, 2]) func aHangingWriteOutHalvesIt(step: Double) {
        var trial = Trial()
        trial.writeOut(20, rate: 50_000)
        let before = trial.pages
        trial.budget.beginWriteOut(at: trial.now, written: trial.written)
        for _ in 0..<Int(2 / step) { trial.idle(step) }
        #expect(trial.pages <= before / 2)
    }

    /// The worst that is promised: all that is allowed is dirty when the disk falls to a tenth, and writers offer more
    /// all the time. After three times the flush's time a flush takes no more than one and a half times that.
    @Test func aCutToATenth() {
        var trial = Trial()
        trial.writeOut(30, rate: 20_000)
        var dirty = Double(trial.pages)
        trial.budget.beginWriteOut(at: trial.now, written: trial.written)
        for _ in 0..<300 {
            trial.written += 200
            dirty -= 200
            trial.idle(0.1)
            dirty = max(dirty, Double(trial.pages))
        }
        #expect(dirty / 2000 <= 15, "\(dirty / 2000) s")
    }

    /// A disk with a cache takes writes at once and its time for the sync: that counts by the page, and so does what is
    /// written out and not synced.
    @Test func syncsCount() {
        var trial = Trial()
        trial.writeOut(20, rate: 1_000_000)
        for _ in 0..<10 { trial.sync(2, pages: 2000) }
        // 1 ms a page in syncs, next to nothing in write-outs.
        #expect(abs(trial.pages - 3333) < 100, "\(trial.pages)")
        #expect(abs(trial.budget.pages(unsynced: 1000, at: trial.now) - 2333) < 100)
        #expect(!trial.budget.isSyncDue(unsynced: 500) && trial.budget.isSyncDue(unsynced: 1500))
    }

    /// What a sync of little takes is not taken for what a page costs.
    @Test func syncsOfLittleAreNoMeasureOfAPage() {
        var trial = Trial()
        trial.writeOut(20, rate: 10_000)
        for _ in 0..<100 { trial.sync(0.02, pages: 1) }
        #expect(trial.pages > 32_000 && trial.pages < 34_000)
        for _ in 0..<20 { trial.sync(0.021, pages: 1000) }
        #expect(trial.pages > 31_000)
        #expect(!trial.budget.isSyncDue(unsynced: 100_000))
    }

    /// One sync of little that took long is forgotten as soon as syncs of much take less, though there is none of
    /// little any more.
    @Test func aSlowSyncOfLittleIsForgotten() {
        var trial = Trial()
        trial.writeOut(5, rate: 50_000)
        let before = trial.pages
        for _ in 0..<4 { trial.sync(200, pages: 1) }
        #expect(trial.pages == FlushBudget.minPages)
        trial.sync(0.05, pages: 1000)
        #expect(trial.pages > before / 2)
    }

    /// A sync that does not end is time that a flush would wait; one that failed says nothing.
    @Test func aHangingSync() {
        var trial = Trial()
        trial.writeOut(20, rate: 10_000)
        let before = trial.pages
        trial.budget.beginSync(at: trial.now)
        trial.now += 6
        #expect(trial.pages <= before / 2)
        trial.budget.endSync(at: trial.now, pages: 5000, isGood: false)
        #expect(trial.pages == before)
    }
}
