import Glibc
import TestSupport
import Testing

@testable import Paging

/// One run of a WriteScenario: a writable image that misbehaves, the pager on it, threads that use it, and what they
/// saw.
struct WriteTrial {
    let scenario: WriteScenario
    let image: RecordingImage
    let clock: Clock
    /// The errors found by the image, or in the end.
    let verdict: Verdict
    private(set) var commands: [Command] = []
    private(set) var hasLost = false

    /// - Parameter backing: If it is not nil, a Limiter gives blocks of the memory to it and takes them back.
    /// - Parameter disk: Puts something between the threads and the pager.
    init(
        _ scenario: WriteScenario, limited backing: GuardedBacking? = nil, disk: (Pager) -> any Disk = { $0 }
    ) throws {
        self.scenario = scenario
        verdict = Verdict()
        clock = Clock()
        image = RecordingImage(
            size: Int64(scenario.sectors * Sector.size), zeroes: scenario.zeroes, faults: scenario.faults,
            seed: scenario.seed, clock: clock, verdict: verdict)
        let pages = try Pages(memory: scenario.memory, dirtyShare: scenario.dirtyShare, backing: backing)
        image.belongs(to: pages)
        let registry = ProviderRegistry(pages: pages)
        let writeback = try Writeback(pages: pages, registry: registry, dirtyAge: scenario.dirtyAge, crew: 3)
        let image = image
        let provider = try registry.open(ImageIdentity(device: 1, inode: scenario.seed)) { image }
        let pager = Pager(provider, writeThrough: scenario.isWriteThrough)
        let prefetcher =
            scenario.prefetchThreads > 0 ? try Prefetcher(pages: pages, threads: scenario.prefetchThreads) : nil
        let limiter = backing.map { Limiter(pages, registry, $0, seed: scenario.seed) }
        limiter?.start()
        runThreads(disk(pager), pages)
        let afterwards = endOfRun(pager, pages)
        // While it ran, each limit may have been in vain. Nothing is dirty now, so this one is not.
        if afterwards { limiter?.shrink() }
        limiter?.end()
        pages.checkInvariants(isQuiet: false)
        close(registry, provider, afterwards)
        prefetcher?.stop()
        writeback.stop()
        pages.checkInvariants(isQuiet: true)
        if !hasLost {
            verdict.expect(
                pages.memory.freeFrames == pages.memory.metadata.frames, "a closed image leaves frames behind")
        }
    }

    private mutating func runThreads(_ disk: any Disk, _ pages: Pages) {
        let (scenario, clock) = (scenario, clock)
        let notes = Notes(scenario.threads)
        Watchdog.guarding("write model, seed \(scenario.seed)") {
            Thread.run(scenario.threads) { number in
                var writer = Writer(number, scenario, disk, clock)
                writer.run()
                notes.keep(writer.commands, of: number)
                pages.checkInvariants()
            }
        }
        commands = notes.all
    }

    /// Once nothing fails any more a flush succeeds, unless a failed sync has lost something for good. Everything
    /// written can be read.
    /// - Returns: True if the flush succeeded.
    private mutating func endOfRun(_ pager: Pager, _ pages: Pages) -> Bool {
        image.heal()
        var error = flush(pager)
        // It may have waited for a write-out that had begun to fail before.
        if error != 0, scenario.faults.writeFailsOnceIn > 0 { error = flush(pager) }
        hasLost = error != 0
        verdict.expect(!hasLost || scenario.faults.syncFailsOnceIn > 0, "nothing fails any more, but a flush does")
        commands.append(readAll(pager))
        return !hasLost
    }

    /// - Returns: The error, or 0.
    private mutating func flush(_ pager: Pager) -> Int32 {
        var flush = Command(kind: .flush, sectors: 0..<0, start: clock.tick())
        do throws(AccessError) { try pager.flush() } catch { flush.error = error.code }
        flush.end = clock.tick()
        commands.append(flush)
        return flush.error
    }

    private func readAll(_ pager: Pager) -> Command {
        let scratch = TestBuffer(scenario.sectors * Sector.size)
        let buffer = scratch.buffer(scenario.sectors * Sector.size)
        var read = Command(kind: .read, sectors: 0..<scenario.sectors, start: clock.tick())
        do throws(AccessError) { try pager.read(into: buffer, at: 0) } catch { read.error = error.code }
        read.end = clock.tick()
        verdict.expect(read.error == 0, "nothing fails any more, but a read does")
        read.found = (0..<scenario.sectors).map {
            Sector.load(buffer.baseAddress! + $0 * Sector.size, sector: $0) ?? UInt32.max
        }
        return read
    }

    /// After a good flush and the last close the image itself holds what was read last.
    private func close(_ registry: ProviderRegistry, _ provider: Provider, _ isFlushed: Bool) {
        do throws(AccessError) {
            try registry.close(provider)
            verdict.expect(isFlushed, "a close succeeds after data was lost")
        } catch {
            verdict.expect(!isFlushed, "a close fails after a flush succeeded: \(error)")
        }
        guard isFlushed else { return }
        let found = commands[commands.count - 1].found
        for (sector, value) in image.values.enumerated() {
            verdict.expect(value == found[sector], "sector \(sector) of the image is not what was read of it")
        }
    }

    var oracle: Oracle { Oracle(commands, originals: image.originals) }

    /// Cuts the power at some moments of the run.
    func losePower(points: Int, _ verdict: Verdict) -> PowerLoss.Numbers {
        var random = SplitMix64(seed: scenario.seed, stream: 99)
        let powerLoss = PowerLoss(oracle, image.history)
        return powerLoss.check(points: points, end: clock.tick(), &random, verdict)
    }
}

/// What threads have noted, each in a slot of its own.
private final class Notes: @unchecked Sendable {
    private let places: UnsafeMutableBufferPointer<[Command]>

    init(_ threads: Int) {
        places = .allocate(capacity: threads)
        places.initialize(repeating: [])
    }

    deinit {
        places.deinitialize()
        places.deallocate()
    }

    func keep(_ commands: [Command], of thread: Int) { places[thread] = commands }
    var all: [Command] { places.flatMap { $0 } }
}
