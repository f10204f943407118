import Glibc
import TestSupport
import Testing

@testable import Paging

/// Base pages of zeroes take no memory. They are read without I/O once they are known, and are not known any more once
/// they are written.
@Suite struct ZeroTests {
    /// An image of zeroes, reported as a hole or not, of any size. It is read once, takes no frame, and reading again
    /// does not reach the image.
    @Test(
        arguments: [Zeroes.hole, Zeroes.untold], [1, 4096, 5000, 256 << 10, (1 << 20) + 1, 5 << 20] as [Int64])
    func zeroesTakeNoFrame(zeroes: Zeroes, size: Int64) throws {
        let rig = try Rig(memory: 4 << 20, image: PatternImage(size: size, zeroes: zeroes))
        #expect(try rig.reads(Int(size), at: 0))
        #expect(rig.pages.memory.freeFrames == rig.frames)
        let pageCount = UInt64(size + 4095) / 4096
        #expect(rig.pages.counters.knownZeroes == pageCount)
        #expect(rig.pages.counters.zeroHits == pageCount - rig.pages.counters.misses)
        let reads = rig.image.reads.load(ordering: .relaxed)
        #expect(try rig.reads(Int(size), at: 0))
        #expect(rig.image.reads.load(ordering: .relaxed) == reads, "known zeroes are not read")
        #expect(rig.pages.counters.hits == 0)
        try rig.end()
        #expect(rig.pages.counters.knownZeroes == 0, "a closed image leaves nothing behind")
    }

    /// A hole is read once and then asked for: the rest of it costs no I/O, and one question a chunk.
    @Test func holesAreNotRead() throws {
        let rig = try Rig(memory: 4 << 20, image: PatternImage(size: 16 << 20, zeroes: .hole))
        try rig.pager.populate(0..<16 << 20)
        #expect(rig.image.reads.load(ordering: .relaxed) == 1)
        #expect(rig.image.questions.load(ordering: .relaxed) <= 17)
        #expect(rig.pages.counters.knownZeroes == 16 << 8)
        try rig.end()
    }

    /// Zeroes that the image reports as data are read, one fill at a time, and asked about once a fill at most.
    @Test func untoldZeroesAreRead() throws {
        let rig = try Rig(memory: 4 << 20, image: PatternImage(size: 16 << 20, zeroes: .untold))
        try rig.pager.populate(0..<16 << 20)
        let reads = rig.image.reads.load(ordering: .relaxed)
        #expect(rig.image.pagesRead.load(ordering: .relaxed) == 16 << 8)
        #expect(rig.image.questions.load(ordering: .relaxed) <= reads)
        try rig.end()
    }

    /// An image without zeroes is never asked for holes.
    @Test func dataIsNotAskedFor() throws {
        let rig = try Rig(memory: 2 << 20, image: PatternImage(size: 8 << 20))
        #expect(try rig.reads(8 << 20, at: 0))
        #expect(rig.image.questions.load(ordering: .relaxed) == 0)
        #expect(rig.pages.counters.knownZeroes == 0)
        try rig.end()
    }

    /// Any pattern of zeroes is read in any portions, twice. Each base page is either resident or known to be zeroes.
    /// What is known is zeroes. Little more memory is taken than for what is not zeroes.
    @Test(.oneThread, arguments: 1...60 as ClosedRange<UInt64>) func patterns(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let zeroes = Zeroes(
            run: [1, 2, 5, 33][random.pick(0...3)], holes: random.pick(0...4), untold: random.pick(0...4), seed: seed)
        let size = Int64(random.pick(1...3 << 20))
        let rig = try Rig(memory: 8 << 20, image: PatternImage(size: size, zeroes: zeroes))
        for _ in 0..<2 {
            var offset: Int64 = 0
            while offset < size {
                let count = min(random.length(upTo: 1 << 20), Int(size - offset))
                #expect(try rig.reads(count, at: offset))
                offset += Int64(count)
            }
            rig.pages.checkInvariants(isQuiet: true)
        }
        let map = rig.pages.accessMap(ofImage: rig.provider.image)
        var data = 0
        for page in 0..<UInt64(size + 4095) / 4096 {
            let isKnown = map.knownZeroes(inChunkOf: page).contains(page)
            #expect(isKnown == (rig.flexpage(at: page) == nil))
            #expect(!isKnown || zeroes.isZero(page))
            if !zeroes.isZero(page) { data += 1 }
        }
        #expect((rig.frames - rig.pages.memory.freeFrames) * 3 <= data * 4)
        try rig.end()
    }

    /// A page known to be zeroes is written, in part or whole. It holds what was written, with zeroes around it.
    /// Writing it does not read the image, and it is not known to be zeroes any more.
    @Test(arguments: [0, 1, 511, 4000], [1, 96, 4096, 5000, 20_000]) func writtenZeroes(begin: Int, count: Int) throws {
        let rig = try PagingRig(memory: 4 << 20, image: HoleImage())
        let scratch = TestBuffer(1 << 20)
        try rig.pager.read(into: scratch.buffer(1 << 20), at: 0)
        let misses = rig.pages.counters.misses
        try rig.write(7, count: count, at: Int64(8192 + begin))
        #expect(rig.pages.counters.misses == misses)
        let written = 8192 + begin..<8192 + begin + count
        for _ in 0..<2 {
            let buffer = scratch.buffer(1 << 20)
            try rig.pager.read(into: buffer, at: 0)
            #expect(scratch.holds(UnsafeMutableRawBufferPointer(rebasing: buffer[written]), 7))
            #expect(scratch.holds(UnsafeMutableRawBufferPointer(rebasing: buffer[..<written.lowerBound]), 0))
            #expect(scratch.holds(UnsafeMutableRawBufferPointer(rebasing: buffer[written.upperBound...]), 0))
            try rig.provider.mapper.writeOut(0..<256)
            rig.recycleAll()
        }
        try rig.end()
    }

    /// A hole is being asked for while it is written, written out and recycled. It is not known to be zeroes: the
    /// image's answer is out of date when it comes (invariant 10).
    @Test(arguments: [false, true]) func anAnswerThatIsOutOfDate(isResidentBefore: Bool) throws {
        let image = HoleImage()
        let rig = try PagingRig(memory: 4 << 20, image: image)
        let page: Int64 = 300 * 4096
        // A hole further on, so that there is a reason to ask.
        try rig.pager.populate(0..<4096)
        #expect(image.questions.count == 1)
        if isResidentBefore { try rig.write(7, count: 4096, at: page) }
        image.gate = Gate()
        Watchdog.guarding("an answer that is out of date") {
            Thread.run(2) { number in
                if number == 0 {
                    rig.provider.mapper.askForHole(at: page, in: chunk(of: page, rig))
                } else {
                    Thread.wait { image.gate!.arrivals > 0 }
                    if !isResidentBefore { try? rig.write(7, count: 4096, at: page) }
                    try? rig.pager.flush()
                    rig.recycleAll()
                    image.gate!.open()
                }
            }
        }
        #expect(rig.flexpage(at: 300) == nil, "the page has been recycled")
        let scratch = TestBuffer(4096)
        let buffer = scratch.buffer(4096)
        try rig.pager.read(into: buffer, at: page)
        #expect(scratch.holds(buffer, 7), "older zeroes hide newer bytes")
        try rig.end()
    }

    private func chunk(of offset: Int64, _ rig: PagingRig<HoleImage>) -> HashedChunk {
        rig.pages.accessMap(ofImage: rig.provider.image).chunk(of: BasePage.number(of: offset))
    }

    /// What was zeroed or trimmed is known to be zeroes, and is not read from the image. The rest is as it was.
    @Test(arguments: [true, false]) func zeroedAndTrimmed(isTrim: Bool) throws {
        let verdict = Verdict()
        let image = RecordingImage(size: 4 << 20, clock: Clock(), verdict: verdict)
        let rig = try PagingRig(memory: 2 << 20, image: image)
        let range: Range<Int64> = 8192..<(3 << 20) + 4096
        if isTrim {
            try rig.pager.trim(range, forced: false)
        } else {
            try rig.pager.zero(range, mayTrim: false, onlyIfFast: false, forced: false)
        }
        #expect(rig.pages.counters.knownZeroes == UInt64(range.count / 4096))
        let scratch = TestBuffer(4 << 20)
        let buffer = scratch.buffer(range.count)
        try rig.pager.read(into: buffer, at: range.lowerBound)
        #expect(scratch.holds(buffer, 0))
        #expect(rig.pages.counters.fills == 0)
        let before = scratch.buffer(8192)
        try rig.pager.read(into: before, at: 0)
        #expect(Sector.load(before.baseAddress!, sector: 0) == Sector.original)
        verdict.report("zeroed and trimmed")
        try rig.end()
    }

    /// A zero that fails makes nothing known.
    @Test func aFailedZeroIsNoZero() throws {
        let verdict = Verdict()
        let image = RecordingImage(
            size: 1 << 20, faults: WriteFaults(zeroFailsOnceIn: 1), clock: Clock(), verdict: verdict)
        let rig = try PagingRig(memory: 2 << 20, image: image)
        #expect(throws: AccessError.self) {
            try rig.pager.zero(0..<1 << 20, mayTrim: true, onlyIfFast: false, forced: false)
        }
        #expect(rig.pages.counters.knownZeroes == 0)
        let scratch = TestBuffer(512)
        let buffer = scratch.buffer(512)
        try rig.pager.read(into: buffer, at: 4096)
        #expect(Sector.load(buffer.baseAddress!, sector: 8) == Sector.original)
        verdict.report("a failed zero")
        try rig.end()
    }

    /// Readers that wait for a fill of zeroes get zeroes, and the image is read once for all of them.
    @Test func waitersGetZeroes() throws {
        let gate = Gate()
        let image = PatternImage(size: 1 << 20, zeroes: .untold, arriving: { _ in gate.pass() })
        let rig = try Rig(memory: 4 << 20, image: image)
        let verdict = Verdict()
        Watchdog.guarding("waiting for zeroes") {
            Thread.run(8) { number in
                if number == 0 {
                    Thread.wait { rig.pins(0) >= 7 }
                    gate.open()
                } else {
                    verdict.expect((try? rig.reads(64 << 10, at: 0)) == true, "zeroes are not zeroes")
                }
            }
        }
        verdict.report("waiting for zeroes")
        #expect(image.reads.load(ordering: .relaxed) == 1)
        #expect(rig.pages.memory.freeFrames == rig.frames)
        try rig.end()
    }

    /// If an image cannot tell its holes, they are read.
    @Test func questionsMayFail() throws {
        let image = PatternImage(size: 8 << 20, zeroes: .hole, faults: Faults(questionsFail: true))
        let rig = try Rig(memory: 4 << 20, image: image)
        #expect(try rig.reads(8 << 20, at: 0))
        #expect(image.questions.load(ordering: .relaxed) > 0)
        #expect(rig.pages.counters.knownZeroes == 8 << 8)
        try rig.end()
    }

    /// Reading ahead passes over known zeroes, takes no memory for them, and goes on where they end. The mark can be on
    /// a page of zeroes.
    @Test func readingAheadThroughZeroes() throws {
        let zeroes = Zeroes(run: 64, holes: 3, untold: 3, seed: 11)
        let image = PatternImage(size: 32 << 20, zeroes: zeroes)
        let rig = try Rig(memory: 16 << 20, readahead: 1 << 20, image: image)
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0)
        for offset in stride(from: 0, to: 32 << 20, by: 16 << 10) as StrideTo<Int64> {
            #expect(try rig.reads(16 << 10, at: offset))
            prefetcher.drain()
        }
        rig.pages.checkInvariants(isQuiet: true)
        // What it met unprepared: the first pages, and some after holes that it had not known of.
        #expect(rig.pages.counters.misses < 32 << 8 / 8)
        prefetcher.stop()
        try rig.end()
    }

    /// A sparse image of 15 TiB with some islands of data is read from one end to the other in steps. Memory never
    /// exceeds `memory=`, holes take hardly any I/O, and the islands hold what they must.
    @Test(.oneThread) func fifteenTebibytes() throws {
        let size: Int64 = 15 << 40
        let islands = IslandImage(size: size)
        let rig = try PagingRig(memory: Pages.minMemory, image: islands)
        let chunks = UInt64(size >> 20)
        // All of the beginning and the end, and between them single chunks at equal distances.
        let visited = [0..<20_000, chunks - 2000..<chunks].joined()
        let sparsely = stride(from: 20_000, to: chunks - 2000, by: 401)
        for chunk in visited.map({ $0 }) + sparsely.map({ $0 }) {
            try rig.pager.populate(Int64(chunk) << 20..<Int64(chunk + 1) << 20)
        }
        rig.pages.checkInvariants(isQuiet: true)
        #expect(rig.pages.counters.peakBytesInUse <= UInt64(Pages.minMemory))
        #expect(islands.pagesRead.count < 3 * 256 * IslandImage.count)
        let scratch = TestBuffer(1 << 20)
        for island in islands.offsets {
            let buffer = scratch.buffer(1 << 20)
            try rig.pager.read(into: buffer, at: island)
            #expect(scratch.holds(buffer, islands.pattern, at: island))
        }
        try rig.end()
    }
}
