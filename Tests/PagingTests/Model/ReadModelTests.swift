import Glibc
import Testing

@testable import Paging

/// Random reads of random ranges by many threads, against images in which every byte is known.
@Suite struct ReadModelTests {
    /// Any mix of reads and populates, random and sequential, with and without reading ahead. Sizes of memory and
    /// image, zeroes and holes, delays, bad pages and failures that come and go are random too. Each request gets
    /// exactly the image's bytes, or fails if it touched what cannot be read. The invariants hold throughout. Once the
    /// cause of failures is gone everything can be read, and in the end no frame is lost.
    @Test(arguments: Seeds.of(plain: 20, optimised: 450, sanitized: 6))
    func readsAreTheImage(seed: UInt64) throws {
        let scenario = ReadScenario(seed: seed)
        let pages = try Pages(memory: scenario.memory, readahead: scenario.readahead)
        let registry = ProviderRegistry(pages: pages)
        let images = scenario.images.map {
            PatternImage(size: $0.size, key: $0.key, zeroes: $0.zeroes, faults: $0.faults, seed: seed)
        }
        let providers = try images.map { image in
            try registry.open(ImageIdentity(device: 1, inode: image.pattern.key)) { image }
        }
        let verdict = Verdict()
        let pagers = providers.map { Pager($0) }
        let prefetcher =
            scenario.prefetchThreads > 0 ? try Prefetcher(pages: pages, threads: scenario.prefetchThreads) : nil
        Watchdog.guarding("read model, seed \(seed)") {
            Thread.run(scenario.threads) { number in
                var reader = Reader(number, scenario, pages: pages, images: images, pagers: pagers, verdict)
                reader.run()
            }
            prefetcher?.stop()
        }
        pages.checkInvariants(isQuiet: true)
        checkHealed(images, pagers, verdict)
        checkCounters(pages, images, verdict)
        for provider in providers { try registry.close(provider) }
        pages.checkInvariants(isQuiet: true)
        verdict.expect(pages.memory.freeFrames == pages.memory.metadata.frames, "a closed image leaves frames behind")
        verdict.report("FLEXPAGE_SEED=\(seed)")
    }

    /// The next read of a page that failed works once the cause is gone.
    private func checkHealed(_ images: [PatternImage], _ pagers: [Pager], _ verdict: Verdict) {
        for (image, pager) in zip(images, pagers) {
            image.heal()
            let count = Int(min(image.size, 2 << 20))
            let scratch = TestBuffer(count)
            let buffer = scratch.buffer(count)
            do throws(AccessError) {
                try pager.read(into: buffer, at: 0)
            } catch {
                verdict.blame("nothing fails any more, but a read does: \(error)")
                continue
            }
            verdict.expect(scratch.holds(buffer, image.pattern, at: 0), "wrong bytes after failures")
        }
    }

    private func checkCounters(_ pages: Pages, _ images: [PatternImage], _ verdict: Verdict) {
        let counters = pages.counters
        let reads = images.reduce(0) { $0 + $1.reads.load(ordering: .relaxed) }
        verdict.expect(counters.fills + counters.failedFills == UInt64(reads), "each read of the image is counted once")
        verdict.expect(counters.peakBytesInUse <= UInt64(pages.memory.bytes), "memory= was exceeded")
        verdict.expect(counters.bytesInUse <= counters.peakBytesInUse, "the peak is at least what is in use")
    }
}
