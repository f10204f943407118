import Paging
import TestSupport

/// What one seed of the read model test does. All of it follows from the seed, except the order in which threads run.
struct ReadScenario {
    let seed: UInt64
    let memory: Int
    /// The maximum of bytes read ahead of a stream.
    let readahead: Int
    let images: [ImageSpec]
    let threads: Int
    let requestsPerThread: Int
    let maxRequest: Int
    /// Threads that read ahead; with 0, nothing is read ahead.
    let prefetchThreads: Int
    /// Of this many requests and one more, all but one begin where the thread's last one in that image ended; 0 for
    /// none.
    let continuesOnceIn: Int

    /// One of the images that share the memory.
    struct ImageSpec {
        let size: Int64
        let faults: Faults
        let zeroes: Zeroes
        let key: UInt64
    }

    init(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        self.seed = seed
        let minMemory = Pages.minMemory
        memory = [minMemory, minMemory, minMemory + random.pick(0...3 << 20), 4 << 20, 16 << 20][random.pick(0...4)]
        readahead = random.once(in: 2) ? 0 : 1 << random.pick(13...21)
        images = (0..<UInt64([1, 2, 3, 8][random.pick(0...3)])).map { ReadScenario.image($0, &random) }
        threads = random.once(in: 8) ? 16 : 4
        requestsPerThread = 240 / threads
        maxRequest = random.once(in: 8) ? 3 << 20 : 256 << 10
        var ahead = SplitMix64(seed: seed, stream: 1000)
        prefetchThreads = ahead.once(in: 2) ? ahead.pick(1...4) : 0
        continuesOnceIn = prefetchThreads > 0 ? ahead.pick(1...3) : 0
    }

    private static func image(_ key: UInt64, _ random: inout SplitMix64) -> ImageSpec {
        let sizes: [Int64] = [
            random.place(below: 5000) + 1, random.place(below: 512 << 10) + 1, random.place(below: 8 << 20) + 1,
            8 << 20, 1 << 45 | random.place(below: 1 << 20),
        ]
        let size = sizes[random.pick(0...4)]
        // Of the largest images tests read only a window, so bad pages beyond it would be useless.
        let pages = UInt64(min(size, ReadScenario.window) + 4095) / 4096
        let faults = Faults.random(&random, pages: pages)
        return ImageSpec(size: size, faults: faults, zeroes: .random(&random), key: key)
    }

    /// Reads of larger images stay within this many bytes of their beginning and end.
    static let window: Int64 = 8 << 20
}
