import Glibc
import TestSupport

@testable import Paging

/// A thread that limits the memory again and again, each time to another size, while others use it.
final class Limiter: @unchecked Sendable {
    let limit: MemoryLimit
    private let pages: Pages
    private let backing: GuardedBacking
    private let seed: UInt64
    private let done = Gate()
    private var thread: pthread_t?

    init(_ pages: Pages, _ registry: ProviderRegistry, _ backing: GuardedBacking, seed: UInt64) {
        limit = MemoryLimit(pages: pages, registry: registry, minFrames: Memory.minFrames)
        self.pages = pages
        self.backing = backing
        self.seed = seed
    }

    func start() { thread = Thread.start { [self] in run() } }

    private func run() {
        var random = SplitMix64(seed: seed, stream: 2000)
        let (min, max) = (limit.min(reserves: []), pages.memory.bytes)
        while !done.isOpened {
            // Now and then the system refuses.
            backing.allocateError.store(random.once(in: 8) ? ENOSPC : 0, ordering: .relaxed)
            backing.releaseError.store(random.once(in: 8) ? EINVAL : 0, ordering: .relaxed)
            guard (try? limit.set(random.pick(min...max))) != nil else { fatalError("it is in the range") }
            usleep(UInt32(random.pick(0...3000)))
            if random.once(in: 4) { pages.checkInvariants() }
        }
    }

    /// Ends the thread, gives as much memory to the system as can be given, and waits for that.
    func shrink() {
        endThread()
        reach(limit.min(reserves: []))
    }

    /// Ends the thread, takes all memory back, and waits for that.
    func end() {
        endThread()
        reach(pages.memory.bytes)
        limit.stop()
    }

    private func endThread() {
        done.open()
        if let thread { pthread_join(thread, nil) }
        thread = nil
    }

    private func reach(_ bytes: Int) {
        backing.allocateError.store(0, ordering: .relaxed)
        backing.releaseError.store(0, ordering: .relaxed)
        guard (try? limit.set(bytes)) != nil else { fatalError("it is in the range") }
        Thread.wait { limit.progress.isReached }
    }
}
