import Glibc
import Synchronization
import Testing

@testable import Paging

/// A thread that got no memory sleeps until there may be some, and no wake-up is lost.
@Suite struct MemoryWaitersTests {
    private let pages: Pages
    private var waiters: MemoryWaiters { pages.waiters }

    init() throws { pages = try Pages(memory: Pages.minMemory) }

    /// There is a waiter from the announcement until it is taken back.
    @Test func announcedAndTakenBack() {
        #expect(!waiters.isAnyoneWaiting)
        let ticket = waiters.begin()
        _ = waiters.begin()
        #expect(waiters.isAnyoneWaiting)
        waiters.end()
        #expect(waiters.isAnyoneWaiting)
        waiters.end()
        #expect(!waiters.isAnyoneWaiting)
        waiters.wake()
        #expect(waiters.begin() == ticket, "nobody was woken")
        waiters.end()
    }

    /// Memory freed between the announcement and the sleep keeps the thread from sleeping, and ends its announcement.
    @Test func wokenBeforeItSleeps() {
        Watchdog.guarding("woken before it sleeps") {
            let ticket = waiters.begin()
            waiters.wake()
            waiters.sleep(ticket)
        }
        #expect(!waiters.isAnyoneWaiting)
    }

    /// Sleepers sleep until something is freed; then all of them wake.
    @Test func allAreWoken() {
        let waiters = self.waiters
        Watchdog.guarding("all are woken") {
            let sleepers = (0..<3).map { _ in
                let ticket = waiters.begin()
                return Companion { waiters.sleep(ticket) }
            }
            for sleeper in sleepers { sleeper.waitUntilAsleep() }
            #expect(!sleepers.contains { $0.hasEnded })
            waiters.wake()
            for sleeper in sleepers { sleeper.join() }
        }
        #expect(!waiters.isAnyoneWaiting)
    }

    /// Memory freed before the announcement wakes nobody that comes after.
    @Test func anOlderWakeUpDoesNotCount() {
        let waiters = self.waiters
        Watchdog.guarding("an older wake-up does not count") {
            let old = waiters.begin()
            waiters.wake()
            let ticket = waiters.begin()
            #expect(ticket != old)
            waiters.sleep(old)
            let sleeper = Companion { waiters.sleep(ticket) }
            sleeper.waitUntilAsleep()
            #expect(!sleeper.hasEnded)
            waiters.wake()
            sleeper.join()
        }
    }

    /// Threads take one of two things, or sleep until there is one, and give it back. None sleeps for ever.
    @Test func nobodySleepsForEver() {
        let waiters = self.waiters
        let free = Free(2)
        let rounds = Sanitizer.isThread ? 500 : 5000
        Watchdog.guarding("nobody sleeps for ever") {
            Thread.run(6) { _ in
                for _ in 0..<rounds {
                    while !free.take() {
                        let ticket = waiters.begin()
                        if free.take() {
                            waiters.end()
                            break
                        }
                        waiters.sleep(ticket)
                    }
                    sched_yield()
                    free.give()
                    waiters.wake()
                }
            }
        }
        #expect(free.count == 2)
        #expect(!waiters.isAnyoneWaiting)
    }

    /// The things that are free.
    private final class Free: Sendable {
        private let left: Atomic<Int>

        init(_ count: Int) { left = Atomic(count) }

        var count: Int { left.load(ordering: .sequentiallyConsistent) }

        func take() -> Bool {
            var count = left.load(ordering: .sequentiallyConsistent)
            while count > 0 {
                let (exchanged, original) = left.compareExchange(
                    expected: count, desired: count - 1, ordering: .sequentiallyConsistent)
                if exchanged { return true }
                count = original
            }
            return false
        }

        func give() { left.add(1, ordering: .sequentiallyConsistent) }
    }
}
