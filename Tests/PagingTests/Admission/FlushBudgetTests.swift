import Testing

@testable import Paging

/// How much may be dirty, computed from series of a disk's work, in made-up times.
@Suite struct FlushBudgetTests {
    /// A disk that is watched as the pager watches one, a step at a time.
    private struct Trial {
        var budget: FlushBudget
        var now = 1000.0
        var written = 0

        init(flushTime: Double = 10) { budget = FlushBudget(flushTime: flushTime) }

        var pages: Int { budget.pages(unsynced: 0, at: now) }

        /// A write-out keeps the disk busy for `seconds`, at `rate` pages a second.
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

    /// Before anything is known 64 MiB may be dirty, in proportion less if the flush time is under ten seconds. Time
    /// alone changes nothing.
    @Test(arguments: [(1.0, 1638), (5, 8192), (10, 16384), (600, 16384)])
    func startsAt64Mebibytes(flushTime: Double, pages: Int) {
        var trial = Trial(flushTime: flushTime)
        #expect(abs(trial.pages - pages) <= 1)
        trial.idle(100)
        #expect(abs(trial.pages - pages) <= 1)
    }

    /// The budget comes to what goes out in a third of the time, from above and from below.
    @Test(arguments: [300.0, 3000, 100_000]) func comesToTheRate(rate: Double) {
        var trial = Trial()
        trial.writeOut(15, rate: rate)
        let wanted = rate * 10 / 3
        #expect(Double(trial.pages) > wanted * 0.95 && Double(trial.pages) < wanted * 1.05, "\(trial.pages)")
    }

    /// Without a faster measurement it does not grow: a disk exactly as fast as was assumed stays there.
    @Test func growsOnlyWithTheRate() {
        var trial = Trial()
        trial.writeOut(30, rate: 4915)
        #expect(abs(trial.pages - 16384) < 200)
    }

    /// However slow the disk, or its syncs, 1 MiB may be dirty.
    @Test func neverBelowOneMebibyte() {
        var trial = Trial()
        trial.writeOut(60, rate: 1)
        #expect(trial.pages == 256)
        trial = Trial()
        for _ in 0..<20 { trial.sync(30, pages: 1) }
        #expect(trial.pages == 256)
    }

    /// The estimate for an idle disk stays, for however long, and short write-outs in between add up.
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

    /// If a disk falls to a tenth of its speed, the budget is halved within two seconds.
    @Test func aSlowerDiskHalvesIt() {
        var trial = Trial()
        trial.writeOut(20, rate: 50_000)
        let before = trial.pages
        trial.writeOut(2, rate: 5000)
        #expect(trial.pages <= before / 2)
    }

    /// It also is if a disk stops altogether while the write-out goes on.
    @Test(arguments: [0.1, 2]) func aHangingWriteOutHalvesIt(step: Double) {
        var trial = Trial()
        trial.writeOut(20, rate: 50_000)
        let before = trial.pages
        trial.budget.beginWriteOut(at: trial.now, written: trial.written)
        for _ in 0..<Int(2 / step) { trial.idle(step) }
        #expect(trial.pages <= before / 2)
    }

    /// The worst case that is promised: all that is allowed is dirty when the disk falls to a tenth, and writers offer
    /// more all the time. After three times the flush time, a flush takes no more than one and a half times the flush
    /// time.
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

    /// A disk with a cache accepts writes at once and takes its time for the sync. The sync counts by the page, and so
    /// does what is written out and not synced.
    @Test func syncsCount() {
        var trial = Trial()
        trial.writeOut(20, rate: 1_000_000)
        for _ in 0..<10 { trial.sync(2, pages: 2000) }
        // 1 ms a page in syncs, next to nothing in write-outs.
        #expect(abs(trial.pages - 3333) < 100, "\(trial.pages)")
        #expect(abs(trial.budget.pages(unsynced: 1000, at: trial.now) - 2333) < 100)
        #expect(!trial.budget.isSyncDue(unsynced: 500) && trial.budget.isSyncDue(unsynced: 1500))
    }

    /// The time for a sync of little is not taken for the cost of a page.
    @Test func syncsOfLittleAreNoMeasureOfAPage() {
        var trial = Trial()
        trial.writeOut(20, rate: 10_000)
        for _ in 0..<100 { trial.sync(0.02, pages: 1) }
        #expect(trial.pages > 32_000 && trial.pages < 34_000)
        for _ in 0..<20 { trial.sync(0.021, pages: 1000) }
        #expect(trial.pages > 31_000)
        #expect(!trial.budget.isSyncDue(unsynced: 100_000))
    }

    /// One slow sync of little is forgotten as soon as syncs of much take less, even if there is no other sync of
    /// little.
    @Test func aSlowSyncOfLittleIsForgotten() {
        var trial = Trial()
        trial.writeOut(5, rate: 50_000)
        let before = trial.pages
        for _ in 0..<4 { trial.sync(200, pages: 1) }
        #expect(trial.pages == FlushBudget.minPages)
        trial.sync(0.05, pages: 1000)
        #expect(trial.pages > before / 2)
    }

    /// A sync that does not end is time that a flush would wait. One that failed says nothing.
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
