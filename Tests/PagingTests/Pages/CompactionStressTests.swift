import Glibc
import TestSupport
import Testing

@testable import Paging

/// Compaction while many threads read and write.
@Suite struct CompactionStressTests {
    private static let imagePages = 6400
    private static let writers = 2
    /// Pages that each writer has for itself.
    private static let ownPages: UInt64 = 40

    /// Memory of any size is full of scattered pages that two threads use again and again. Two more ask for aligned
    /// runs of up to 1 MiB. Two write pages of their own and read them back, with and without reading ahead. Pages are
    /// moved all the while. Every byte is right, and the invariants hold throughout. Everything written reaches the
    /// image, and no frame is lost.
    @Test(arguments: Seeds.of(plain: 12, optimised: 60, sanitized: 4))
    func everybodyAtOnce(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let memory = random.pick(3 << 20...16 << 20)
        let verdict = Verdict()
        let image = VersionedImage(
            pages: Self.imagePages, seed: seed, maxDelay: random.once(in: 2) ? 100 : 0, verdict: verdict)
        let rig = try PagingRig(memory: memory, readahead: seed % 2 == 0 ? 1 << 20 : 0, image: image)
        let hot = (0..<rig.frames / 4).map { _ in UInt64(random.pick(0...Self.imagePages - 1)) }
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 2)
        Watchdog.guarding("compaction while everybody reads and writes, seed \(seed)") {
            Thread.run(4 + Self.writers) { number in
                var random = SplitMix64(seed: seed, stream: UInt64(number))
                switch number {
                case 0, 1: Self.useHot(rig, hot, &random, verdict)
                case 2, 3: Self.readRuns(rig, &random, verdict)
                default: Self.writeOwn(rig, UInt64(number - 4), steps: 600, &random, verdict)
                }
            }
            prefetcher.stop()
        }
        Self.checkQuiet(rig, verdict)
        verdict.expect(rig.pages.counters.peakBytesInUse <= UInt64(memory), "memory= was exceeded")
        verdict.report("FLEXPAGE_SEED=\(seed)")
        try rig.end()
    }

    /// One thread has blocks cleared, one after the other, in which nearly all resident pages lie. Meanwhile one
    /// borrows those pages, and another writes and reads them. A page that somebody has when its turn to be moved comes
    /// stays where it is.
    @Test(arguments: Seeds.of(plain: 3, optimised: 15, sanitized: 1))
    func whoComesMeanwhileIsLeftAlone(seed: UInt64) throws {
        let (verdict, done) = (Verdict(), Tally())
        let image = VersionedImage(pages: Self.imagePages, verdict: verdict)
        let rig = try PagingRig(memory: Pages.memory(forFrames: 1024), image: image)
        let used = (0..<Self.ownPages).flatMap { index in (0..<UInt64(Self.writers)).map { Self.page(index, of: $0) } }
        for page in used { try rig.pager.populate(BasePage.offset(of: page)..<BasePage.offset(of: page + 1)) }
        Watchdog.guarding("blocks are cleared while pages are used, seed \(seed)") {
            Thread.run(3) { number in
                var random = SplitMix64(seed: seed, stream: UInt64(number))
                switch number {
                case 0: Self.clearBlocks(rig, until: { done.count == 2 }, verdict)
                case 1: for _ in 0..<2000 { Self.borrow(rig, used[random.pick(0...used.count - 1)], verdict) }
                default: Self.writeOwn(rig, 0, steps: 180, &random, verdict)
                }
                done.add()
            }
        }
        Self.checkQuiet(rig, verdict)
        verdict.report("FLEXPAGE_SEED=\(seed)")
        try rig.end()
    }

    /// The free Region that is taken first lies beside resident pages, so those must go each time.
    private static func clearBlocks(
        _ rig: PagingRig<VersionedImage>, until isDone: () -> Bool, _ verdict: Verdict
    ) {
        var rounds = 0
        repeat {
            guard let region = rig.pages.memory.take(order: 0) else { return verdict.blame("no frame is free") }
            rig.pages.give(rig.pages.widened(region, upTo: Region.maxOrder))
            rounds += 1
            if rounds % 32 == 0 { rig.pages.checkInvariants() }
        } while !isDone()
    }

    /// With no request under way: pages have been moved, nothing is lost, and nobody has anything.
    private static func checkQuiet(_ rig: PagingRig<VersionedImage>, _ verdict: Verdict) {
        rig.pages.checkInvariants(isQuiet: true)
        verdict.expect(rig.pages.counters.moves > 0, "nothing has been moved")
        for page in 0..<UInt64(imagePages) {
            verdict.expect(rig.state(page)?.pins ?? 0 == 0, "page \(page) has a pin that nobody holds")
        }
    }

    /// Reads `pages` at once. Each has one whole version: the first, if nobody writes it.
    private static func check(
        _ rig: PagingRig<VersionedImage>, _ scratch: TestBuffer, _ pages: Range<UInt64>, _ verdict: Verdict
    ) {
        let buffer = scratch.buffer(pages.count * 4096)
        guard (try? rig.pager.read(into: buffer, at: BasePage.offset(of: pages.lowerBound))) != nil else {
            return verdict.blame("nothing fails here")
        }
        for page in pages {
            let memory = UnsafeRawPointer(buffer.baseAddress! + Int(page - pages.lowerBound) * 4096)
            let version = VersionedImage.version(in: memory, page: page)
            verdict.expect(version != nil, "wrong bytes in page \(page)")
            verdict.expect(version == 0 || isWritten(page), "page \(page) has a version that nobody wrote")
        }
    }

    private static func useHot(
        _ rig: PagingRig<VersionedImage>, _ hot: [UInt64], _ random: inout SplitMix64, _ verdict: Verdict
    ) {
        let scratch = TestBuffer(4096)
        for step in 0..<3000 {
            let page = hot[random.pick(0...hot.count - 1)]
            if random.once(in: 2) { borrow(rig, page, verdict) } else { check(rig, scratch, page..<page + 1, verdict) }
            if step % 500 == 0 { rig.pages.checkInvariants() }
        }
    }

    /// Borrows a page for a while: it stays where it is as long as that lasts (invariant 4).
    private static func borrow(_ rig: PagingRig<VersionedImage>, _ page: UInt64, _ verdict: Verdict) {
        var progress = PageMapper.RequestProgress()
        do throws(AccessError) {
            let loan = try rig.provider.mapper.lend(
                BasePage.offset(of: page)..<BasePage.offset(of: page + 1), &progress)
            let id = rig.flexpage(at: page)
            sched_yield()
            verdict.expect(rig.flexpage(at: page) == id, "page \(page) has been moved while it was lent")
            loan.forEachPart { part, _ in
                let version = VersionedImage.version(in: UnsafeRawPointer(part.baseAddress!), page: page)
                verdict.expect(version != nil, "wrong bytes in page \(page), which is lent")
            }
            _ = consume loan
        } catch {
            verdict.blame("nothing fails here: \(error)")
        }
    }

    /// Goes on until something has been moved, which takes longer with much memory.
    private static func readRuns(
        _ rig: PagingRig<VersionedImage>, _ random: inout SplitMix64, _ verdict: Verdict
    ) {
        let scratch = TestBuffer(1 << 20)
        for step in 0..<1000 {
            if step >= 40, rig.pages.counters.moves > 0 { break }
            let count = 16 << random.pick(0...4)
            let page = UInt64(random.pick(0...imagePages / count - 1) * count)
            check(rig, scratch, page..<page + UInt64(count), verdict)
            if step % 10 == 0 { rig.pages.checkInvariants() }
        }
    }

    /// The pages of writers are scattered over the image.
    private static func page(_ index: UInt64, of writer: UInt64) -> UInt64 {
        (index * UInt64(writers) + writer) * UInt64(imagePages) / (ownPages * UInt64(writers))
    }

    private static func isWritten(_ page: UInt64) -> Bool {
        page % (UInt64(imagePages) / (ownPages * UInt64(writers))) == 0
    }

    /// Writes its own pages, each time the next version, and finds the latest one of each: in memory and, after a
    /// flush, on the image.
    private static func writeOwn(
        _ rig: PagingRig<VersionedImage>, _ number: UInt64, steps: UInt64, _ random: inout SplitMix64,
        _ verdict: Verdict
    ) {
        let scratch = TestBuffer(4096)
        var versions = [UInt64](repeating: 0, count: Int(ownPages))
        for step in 1...steps {
            let index = random.pick(0...versions.count - 1)
            let page = page(UInt64(index), of: number)
            let buffer = scratch.buffer(4096)
            do throws(AccessError) {
                if random.once(in: 2) {
                    try rig.pager.read(into: buffer, at: BasePage.offset(of: page))
                    let version = VersionedImage.version(in: UnsafeRawPointer(buffer.baseAddress!), page: page)
                    verdict.expect(version == versions[index], "page \(page) is not as it was written last")
                } else {
                    versions[index] = step
                    VersionedImage.put(step, page: page, into: buffer.baseAddress!)
                    try rig.pager.write(
                        from: UnsafeRawBufferPointer(buffer), at: BasePage.offset(of: page), forced: false)
                }
                if step % 60 == 0 {
                    try rig.pager.flush()
                    for (index, version) in versions.enumerated() {
                        let page = self.page(UInt64(index), of: number)
                        verdict.expect(rig.image.version(ofPage: page) == version, "page \(page) was not flushed")
                    }
                }
            } catch {
                verdict.blame("nothing fails here: \(error)")
            }
        }
    }
}
