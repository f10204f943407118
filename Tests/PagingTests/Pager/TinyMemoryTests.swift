import Glibc
import TestSupport
import Testing

@testable import Paging

/// The minimum of memory, with requests for more than there is.
@Suite struct TinyMemoryTests {
    /// Sixteen threads read 1 MiB at a time, each more than all the memory, of images of their own and shared ones,
    /// with slow and failing reads. All of them end (invariant 9), with the right bytes and no frame lost.
    @Test(arguments: Seeds.of(plain: 6, sanitized: 2)) func everybodyGetsThrough(seed: UInt64) throws {
        let pages = try Pages(memory: Pages.minMemory)
        let registry = ProviderRegistry(pages: pages)
        let images = (0..<4 as Range<UInt64>).map { key in
            MemoryImage(
                size: 4 << 20 | Int64(key * 1000), key: key,
                faults: Faults(readFailsOnceIn: key == 3 ? 10 : 0, maxDelay: 100), seed: seed)
        }
        let providers = try images.map { image in
            try registry.open(ImageIdentity(device: 3, inode: image.pattern.key)) { image }
        }
        let verdict = Verdict()
        Watchdog.guarding("tiny memory, seed \(seed)") {
            Thread.run(16) { number in
                let (image, pager) = (images[number % 4], Pager(providers[number % 4]))
                TinyMemoryTests.read(image, pager, SplitMix64(seed: seed, stream: UInt64(number)), verdict)
                pages.checkInvariants()
            }
        }
        verdict.report("FLEXPAGE_SEED=\(seed)")
        pages.checkInvariants(isQuiet: true)
        #expect(pages.counters.peakBytesInUse <= UInt64(Pages.minMemory))
        for provider in providers { try registry.close(provider) }
        pages.checkInvariants(isQuiet: true)
        #expect(pages.memory.freeFrames == pages.memory.metadata.frames)
    }

    private static func read(_ image: MemoryImage, _ pager: Pager, _ generator: SplitMix64, _ verdict: Verdict) {
        var random = generator
        let scratch = TestBuffer(1 << 20)
        for _ in 0..<8 {
            let buffer = scratch.buffer(1 << 20, skew: random.pick(0...63))
            let offset = random.place(below: image.size - (1 << 20))
            do throws(AccessError) {
                try pager.read(into: buffer, at: offset)
                verdict.expect(scratch.holds(buffer, image.pattern, at: offset), "wrong bytes at \(offset)")
            } catch {
                verdict.expect(image.pattern.key == 3, "a read failed: \(error)")
            }
        }
    }

    /// All frames are lent out. A request sleeps, and goes on when one loan is given back.
    @Test func oneLoanGivenBackIsEnough() throws {
        let rig = try Rig(image: MemoryImage(size: 8 << 20))
        var outside: [Region] = []
        while rig.pages.memory.freeFrames > 1 { outside.append(rig.pages.memory.take(order: 0)!) }
        try Watchdog.guarding("one loan given back is enough") { () throws in
            var progress = PageMapper.RequestProgress()
            let loan = try rig.provider.mapper.lend(0..<4096, &progress)
            let verdict = Verdict()
            let sleeper = Thread.start {
                verdict.expect((try? rig.reads(4096, at: 1 << 20)) == true, "the request gets its page")
            }
            Thread.wait { rig.pages.counters.waits >= 1 }
            _ = consume loan
            pthread_join(sleeper, nil)
            verdict.report("the sleeper")
        }
        for region in outside { rig.pages.give(region) }
        try rig.end()
    }
}
