import Paging
import TestSupport

/// What one seed of the write model test does. All of it follows from the seed, except the order in which threads run.
struct WriteScenario {
    let seed: UInt64
    let memory: Int
    let dirtyShare: Double
    /// Milliseconds.
    let dirtyAge: Int
    let isWriteThrough: Bool
    let sectors: Int
    /// Most requests fall into this many sectors, so that threads meet.
    let hotSectors: Int
    let faults: WriteFaults
    /// Which parts of the fresh image are zeroes.
    let zeroes: Zeroes
    let threads: Int
    let requestsPerThread: Int
    /// Sectors.
    let maxRequest: Int
    let forcedOnceIn: Int
    let flushOnceIn: Int
    /// Threads that read ahead; with 0, nothing is read ahead.
    let prefetchThreads: Int
    /// Of this many requests and one more, all but one begin where the thread's last one ended; 0 for none.
    let continuesOnceIn: Int

    init(seed: UInt64) {
        var random = SplitMix64(seed: seed, stream: 77)
        self.seed = seed
        memory = random.once(in: 2) ? Pages.minMemory : Pages.minMemory + random.pick(0...3 << 20)
        dirtyShare = [0.01, 0.1, 0.4, 0.9][random.pick(0...3)]
        dirtyAge = [1, 10, 5000][random.pick(0...2)]
        isWriteThrough = random.once(in: 5)
        sectors = [random.pick(1...40), random.pick(100...1000), random.pick(2000...6000)][random.pick(0...2)]
        hotSectors = [8, 64, 512][random.pick(0...2)]
        faults = random.once(in: 4) ? WriteFaults() : .random(&random)
        threads = random.once(in: 6) ? 12 : 4
        requestsPerThread = 240 / threads
        maxRequest = [16, 256, 1024][random.pick(0...2)]
        forcedOnceIn = [0, 3, 10][random.pick(0...2)]
        flushOnceIn = random.pick(1...3)
        var ahead = SplitMix64(seed: seed, stream: 1000)
        prefetchThreads = ahead.once(in: 2) ? ahead.pick(1...4) : 0
        continuesOnceIn = prefetchThreads > 0 ? ahead.pick(1...3) : 0
        var zeroing = SplitMix64(seed: seed, stream: 1001)
        zeroes = .random(&zeroing)
    }
}
