import Glibc
import TestSupport
import Testing

@testable import Paging

/// Reading ahead reads over a few pages that are resident already, and those keep their state.
@Suite struct GapTests {
    private static let pattern = Pattern(key: 5)
    /// What is newer than the image.
    private static let newer = Pattern(key: 6)
    /// The reads of an image, in order.
    private typealias Reads = Guarded<[Range<UInt64>]>

    /// An image of 4 MiB that notes what is read of it after `hook` has let it pass.
    private func rig(
        _ reads: Reads = Reads([]), memory: Int = 16 << 20, pattern: Pattern = GapTests.pattern,
        _ hook: @escaping HookedImage.Hook = { _, _ in nil }
    ) throws -> HookedRig {
        let image = HookedImage(size: 4 << 20, pattern: pattern) { call, pages in
            if call == .populate { reads.withLock { $0.append(pages) } }
            return hook(call, pages)
        }
        return try HookedRig(memory: memory, image: image)
    }

    /// Makes `pages` resident, each as a flexpage of its own, and leaves them out of `reads`.
    private func populate(_ rig: HookedRig, _ pages: some Sequence<UInt64>, _ reads: Reads) throws {
        for page in pages { try rig.pager.populate(BasePage.offset(of: page)..<BasePage.offset(of: page + 1)) }
        reads.withLock { $0 = [] }
    }

    /// True if `pages` have the bytes that they should have.
    private func hold(_ rig: HookedRig, _ pages: Range<UInt64>, newer: Set<UInt64> = []) throws -> Bool {
        try pages.allSatisfy { try rig.holds(newer.contains($0) ? Self.newer : Self.pattern, $0) }
    }

    /// Up to eight resident pages in a row, wherever they lie, are read over: all of a run is one read. Before nine or
    /// more the read ends, and another begins after them.
    @Test(arguments: 1...12 as ClosedRange<UInt64>, [1, 60, 125, 200] as [UInt64])
    func upToEightInARowAreReadOver(count: UInt64, first: UInt64) throws {
        let reads = Reads([])
        let rig = try rig(reads)
        let resident = first..<first + count
        try populate(rig, resident, reads)
        let (ids, free) = (resident.map { rig.flexpage(at: $0) }, rig.pages.memory.freeFrames)
        rig.provider.mapper.readAhead(0..<256, mark: nil)
        let expected = count <= 8 ? [0..<256] : [0..<first, first + count..<256]
        #expect(reads.withLock { $0 } == expected)
        #expect(resident.map { rig.flexpage(at: $0) } == ids)
        #expect(rig.pages.memory.freeFrames == free - 256 + Int(count))
        rig.pages.checkInvariants(isQuiet: true)
        #expect((0..<256 as Range<UInt64>).allSatisfy { rig.state($0)?.pins == 0 })
        #expect(try hold(rig, 0..<256))
        #expect(reads.withLock { $0 } == expected, "all of the run was resident")
        try rig.end()
    }

    /// Many gaps in one read, between flexpages of any size.
    @Test func manyGapsAreOneRead() throws {
        let reads = Reads([])
        let rig = try rig(reads)
        let resident = Array(stride(from: 3, to: 250, by: 9) as StrideTo<UInt64>)
        try populate(rig, resident, reads)
        rig.provider.mapper.readAhead(0..<256, mark: nil)
        #expect(reads.withLock { $0 } == [0..<256])
        #expect(rig.pages.memory.freeFrames == rig.frames - 256)
        #expect(try hold(rig, 0..<256))
        try rig.end()
    }

    /// With every second page missing, or one in nine, there is too much between missing pages to read over all of it
    /// at once. So there are more reads. None of them begins or ends with a resident page, and no page is read twice.
    @Test(arguments: 1...8 as ClosedRange<UInt64>, [4, 16]) func endlessGaps(count: UInt64, megabytes: Int) throws {
        let reads = Reads([])
        let rig = try rig(reads, memory: megabytes << 20)
        let resident = (0..<256 as Range<UInt64>).filter { $0 % (count + 1) != 0 }
        try populate(rig, resident, reads)
        let ids = resident.map { rig.flexpage(at: $0) }
        rig.provider.mapper.readAhead(0..<256, mark: nil)
        let all = reads.withLock { $0 }
        #expect(all.first?.lowerBound == 0 && zip(all, all.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound })
        #expect(all.allSatisfy { $0.lowerBound % (count + 1) == 0 && ($0.upperBound - 1) % (count + 1) == 0 })
        #expect(all.count <= 16, "each read has at least sixteen pages")
        #expect(resident.map { rig.flexpage(at: $0) } == ids)
        #expect(rig.pages.memory.freeFrames == rig.frames - 256)
        rig.pages.checkInvariants(isQuiet: true)
        #expect(try hold(rig, 0..<256))
        try rig.end()
    }

    /// A model: up to 32 pages of any run are resident, clean or dirty, and some of the image is zeroes. The reads are
    /// those of the rule. Resident pages keep their flexpage and their bytes. All of the run can be read without
    /// another read. What is newer reaches the image, and no frame is lost.
    @Test(arguments: Seeds.of(plain: 30, optimised: 600, sanitized: 4)) func agreesWithItsModel(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let pattern = Pattern(key: 5, zeroes: random.once(in: 3) ? .random(&random) : .none)
        let reads = Reads([])
        let rig = try rig(reads, pattern: pattern)
        let onceIn = [2, 3, 10, 40][random.pick(0...3)]
        let maxLength = random.pick(1...20)
        var (dirty, page, left) = (Set<UInt64>(), 256 as UInt64, 32 as UInt64)
        while page < 512, left > 0 {
            let count = UInt64(random.pick(1...maxLength))
            if random.once(in: onceIn) {
                for page in page..<min(page + min(count, left), 512) {
                    left -= 1
                    if random.once(in: 3) {
                        try rig.write(Self.newer, page)
                        dirty.insert(page)
                    } else {
                        try populate(rig, [page], reads)
                    }
                }
            }
            page += count
        }
        let known = knownZeroes(rig, 256..<512)
        let before = (256..<512 as Range<UInt64>).map { rig.flexpage(at: $0) }
        let begin = UInt64(random.pick(256...511))
        let run = begin..<UInt64(random.pick(Int(begin)...512))
        rig.provider.mapper.readAhead(run, mark: nil)
        let missing = Set(run.filter { before[Int($0) - 256] == nil && !known.contains($0) })
        #expect(reads.withLock { $0 } == expectedReads(missing, in: run), "FLEXPAGE_SEED=\(seed)")
        rig.pages.checkInvariants(isQuiet: true)
        for page in 256..<512 as Range<UInt64> {
            let id = before[Int(page) - 256]
            #expect(id == nil || rig.flexpage(at: page) == id, "page \(page) has moved, FLEXPAGE_SEED=\(seed)")
            if id == nil, !run.contains(page) { #expect(rig.flexpage(at: page) == nil) }
        }
        let readsSoFar = reads.withLock(\.count)
        for page in run {
            let holds = try rig.holds(dirty.contains(page) ? Self.newer : pattern, page)
            #expect(holds, "wrong bytes in page \(page), FLEXPAGE_SEED=\(seed)")
        }
        #expect(reads.withLock(\.count) == readsSoFar, "FLEXPAGE_SEED=\(seed)")
        try rig.pager.flush()
        #expect(dirty.allSatisfy { rig.image.holds(Self.newer, $0) }, "FLEXPAGE_SEED=\(seed)")
        try rig.end()
    }

    private func knownZeroes(_ rig: HookedRig, _ chunk: Range<UInt64>) -> Set<UInt64> {
        let map = rig.pages.accessMap(ofImage: rig.provider.image)
        let known = map.knownZeroes(inChunkOf: chunk.lowerBound)
        return Set(chunk.filter(known.contains))
    }

    /// Missing pages with no more than eight others between one and the next are one read.
    private func expectedReads(_ missing: Set<UInt64>, in run: Range<UInt64>) -> [Range<UInt64>] {
        var reads: [Range<UInt64>] = []
        for page in run where missing.contains(page) {
            if let last = reads.last, page - last.upperBound <= 8 {
                reads[reads.count - 1] = last.lowerBound..<page + 1
            } else {
                reads.append(page..<page + 1)
            }
        }
        return reads
    }

    /// Pages newer than the image stay so, though older bytes are read at their offset. This also holds if they are
    /// written out, and written again, while the read is under way.
    @Test func dirtyPagesAreWrittenOutDuringTheRead() throws {
        let (reads, gate, verdict) = (Tally(), Gate(), Verdict())
        let resident: Set<UInt64> = [10, 11, 12, 40, 41, 99]
        let image = VersionedImage(pages: 1024, verdict: verdict) { pages in
            if pages.count > 1 { gate.pass() }
            reads.add()
        }
        let rig = try PagingRig(memory: 16 << 20, image: image)
        for page in resident { try write(rig, 1, page) }
        let ids = resident.map { rig.flexpage(at: $0) }
        try Watchdog.guarding("pages are written out while they are read over") { () throws in
            let reader = Thread.start { rig.provider.mapper.readAhead(0..<128, mark: nil) }
            Thread.wait { gate.arrivals > 0 }
            try rig.pager.flush()
            #expect(resident.allSatisfy { image.version(ofPage: $0) == 1 })
            for page in resident { try write(rig, 2, page) }
            gate.open()
            pthread_join(reader, nil)
        }
        #expect(reads.count == 1)
        #expect(resident.map { rig.flexpage(at: $0) } == ids)
        rig.pages.checkInvariants(isQuiet: true)
        #expect(resident.allSatisfy { rig.state($0)?.has(PageState.dirty) == true })
        for page in 0..<128 as Range<UInt64> {
            let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 64)
            defer { bytes.deallocate() }
            try rig.pager.read(into: bytes, at: Int64(page) << 12)
            let version = VersionedImage.version(in: UnsafeRawPointer(bytes.baseAddress!), page: page)
            #expect(version == (resident.contains(page) ? 2 : 0), "page \(page)")
        }
        #expect(reads.count == 1)
        try rig.pager.flush()
        #expect(resident.allSatisfy { image.version(ofPage: $0) == 2 })
        verdict.report("pages on their way out")
        try rig.end()
    }

    private func write(_ rig: PagingRig<VersionedImage>, _ version: UInt64, _ page: UInt64) throws {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 64)
        defer { bytes.deallocate() }
        VersionedImage.put(version, page: page, into: bytes.baseAddress!)
        try rig.pager.write(from: UnsafeRawBufferPointer(bytes), at: Int64(page) << 12, forced: false)
    }

    /// A page that is recycled or dropped while it is read over is missing afterwards: what was read of it belongs to
    /// nobody.
    @Test func pagesReadOverMayGo() throws {
        let (reads, gate) = (Reads([]), Gate())
        let rig = try rig(reads) { call, pages in
            if call == .populate, pages.count > 1 { gate.pass() }
            return nil
        }
        try populate(rig, [10, 40], reads)
        try Watchdog.guarding("pages go while they are read over") { () throws in
            let reader = Thread.start { rig.provider.mapper.readAhead(0..<128, mark: nil) }
            Thread.wait { gate.arrivals > 0 }
            rig.recycleAll()
            #expect(rig.flexpage(at: 10) == nil && rig.flexpage(at: 40) == nil)
            try rig.write(Self.newer, 40)
            gate.open()
            pthread_join(reader, nil)
        }
        rig.pages.checkInvariants(isQuiet: true)
        #expect(reads.withLock { $0 } == [0..<128])
        #expect((0..<128 as Range<UInt64>).allSatisfy { (rig.flexpage(at: $0) == nil) == ($0 == 10) })
        #expect(rig.pages.memory.freeFrames == rig.frames - 127)
        #expect(try hold(rig, 0..<128, newer: [40]))
        try rig.pager.flush()
        try rig.end()
    }

    /// A read with gaps that fails leaves nothing: neither what was missing nor the frame that took the rest. Resident
    /// pages are as they were.
    @Test func aFailedReadGivesEverythingBack() throws {
        let reads = Reads([])
        let rig = try rig(reads) { call, pages in call == .populate && pages.count > 1 ? AccessError(EIO) : nil }
        try populate(rig, [10, 40], reads)
        try rig.write(Self.newer, 70)
        let ids = [10, 40, 70].map { rig.flexpage(at: $0) }
        rig.provider.mapper.readAhead(0..<128, mark: 0)
        #expect(reads.withLock { $0 } == [0..<128, 0..<10], "once more, up to what was read over")
        #expect(rig.pages.memory.freeFrames == rig.frames - 3)
        #expect([10, 40, 70].map { rig.flexpage(at: $0) } == ids)
        #expect((0..<128 as Range<UInt64>).allSatisfy { [10, 40, 70].contains($0) || rig.flexpage(at: $0) == nil })
        rig.pages.checkInvariants(isQuiet: true)
        #expect(try hold(rig, 0..<128, newer: [70]))
        try rig.pager.flush()
        try rig.end()
    }

    /// A page that cannot be read but is resident, and so need not be read, does not keep others from being read ahead.
    @Test(arguments: [[40], [40, 41, 42], [1, 127], [0, 64]] as [[UInt64]])
    func whatCannotBeReadOverIsLeftOut(bad: [UInt64]) throws {
        let rig = try rig { call, pages in
            call == .populate && bad.contains(where: pages.contains) ? AccessError(EIO) : nil
        }
        for page in bad + [20, 90] { try rig.write(Self.newer, page) }
        rig.provider.mapper.readAhead(0..<128, mark: nil)
        #expect((0..<128 as Range<UInt64>).allSatisfy { rig.flexpage(at: $0) != nil })
        #expect(rig.pages.memory.freeFrames == rig.frames - 128)
        rig.pages.checkInvariants(isQuiet: true)
        #expect(try hold(rig, 0..<128, newer: Set(bad + [20, 90])))
        try rig.pager.flush()
        try rig.end()
    }

    /// If few frames are free, some of them serve for what is read over, and come back. With none nothing is read; with
    /// one or two possibly nothing.
    @Test(arguments: 0...12) func memoryIsShort(left: Int) throws {
        let reads = Reads([])
        let rig = try rig(reads)
        try rig.write(Self.newer, 5)
        try rig.write(Self.newer, 6)
        let outside = takeAll(of: rig, but: left)
        rig.provider.mapper.readAhead(0..<16, mark: nil)
        rig.pages.checkInvariants()
        let resident = (0..<16 as Range<UInt64>).filter { rig.flexpage(at: $0) != nil && $0 != 5 && $0 != 6 }
        #expect(!resident.isEmpty || left <= 2, "at most two frames serve for what is read over")
        #expect(rig.pages.memory.freeFrames == left - resident.count)
        let first = reads.withLock(\.first)
        #expect((first == nil) == resident.isEmpty && first?.lowerBound ?? 0 == 0)
        for page in resident { #expect(try rig.holds(Self.pattern, page)) }
        for page in [5, 6] as [UInt64] { #expect(try rig.holds(Self.newer, page)) }
        try rig.pager.flush()
        for region in outside { rig.pages.give(region) }
        try rig.end()
    }

    /// If memory is in pieces too small for a gap, the read ends before that, and another one begins after it.
    @Test(arguments: 1...8 as ClosedRange<UInt64>) func memoryIsInPieces(count: UInt64) throws {
        let reads = Reads([])
        let rig = try rig(reads)
        for page in 5..<5 + count { try rig.write(Self.newer, page) }
        let outside = takeAll(of: rig, but: 0)
        for region in outside where region.first % 2 == 0 { rig.pages.give(region) }
        rig.provider.mapper.readAhead(0..<64, mark: nil)
        #expect(reads.withLock { $0 } == (count == 1 ? [0..<64] : [0..<5, 5 + count..<64]))
        #expect((0..<64 as Range<UInt64>).allSatisfy { rig.flexpage(at: $0) != nil })
        #expect(try hold(rig, 0..<64, newer: Set(5..<5 + count)))
        for region in outside where region.first % 2 == 1 { rig.pages.give(region) }
        try rig.pager.flush()
        try rig.end()
    }

    private func takeAll(of rig: HookedRig, but left: Int) -> [Region] {
        var taken: [Region] = []
        while rig.pages.memory.freeFrames > left, let region = rig.pages.memory.take(order: 0) { taken.append(region) }
        return taken
    }

    /// If a page has been taken between planning and issuing, what is in flight ends before it, with or without gaps.
    /// The read covers exactly that, and everything else is given back.
    @Test(arguments: [8, 21, 30] as [UInt64]) func anotherIsFaster(taken: UInt64) throws {
        let reads = Reads([])
        let rig = try rig(reads)
        let resident: [UInt64] = [3, 10, 20, 25]
        try populate(rig, resident, reads)
        let chunk = rig.pages.accessMap(ofImage: rig.provider.image).chunk(of: 0)
        let inFlight: Range<UInt64>
        do {
            let over = resident.reduce(into: PageSet()) { $0.insert($1) }
            var fill = Fill(0..<40, over: over, context: rig.provider.mapper.context, pages: rig.pages)
            #expect(fill.covered == 0..<40 && fill.count > 6)
            try populate(rig, [taken], reads)
            let isInFlight = chunk.withLock { chunk in fill.issue(in: chunk) }
            #expect(isInFlight)
            inFlight = fill.covered
            #expect(inFlight.lowerBound == 0 && inFlight.upperBound <= taken)
            #expect(fill.pagesInFlight == inFlight.filter { !resident.contains($0) }.count)
            try fill.populateOrWithdraw(from: rig.image, in: chunk)
            chunk.withLock { chunk in fill.publishAhead(mark: nil, in: chunk) }
        }
        #expect(reads.withLock { $0 } == [inFlight])
        rig.pages.checkInvariants(isQuiet: true)
        for page in 0..<40 as Range<UInt64> {
            let isResident = inFlight.contains(page) || resident.contains(page) || page == taken
            #expect((rig.flexpage(at: page) != nil) == isResident, "page \(page)")
        }
        #expect(try hold(rig, 0..<40))
        try rig.end()
    }
}
