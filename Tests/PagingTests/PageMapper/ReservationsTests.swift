import Glibc
import TestSupport
import Testing

@testable import Paging

/// What a zero or trim has reserved belongs to nobody else until it is given back.
@Suite final class ReservationsTests: Sendable {
    private let reservations = Reservations()

    deinit { reservations.destroy() }

    /// Exactly the pages that are reserved count as reserved, as long as they are.
    @Test func overlaps() {
        #expect(reservations.isEmpty)
        #expect(!reservations.overlaps(0..<1000))
        reservations.reserve(10..<20)
        reservations.reserve(20..<21)
        reservations.reserve(40..<50)
        #expect(!reservations.isEmpty)
        for pages in [0..<11, 19..<20, 12..<13, 20..<30, 0..<100, 49..<60] as [Range<UInt64>] {
            #expect(reservations.overlaps(pages), "\(pages)")
        }
        for pages in [0..<10, 21..<40, 50..<51, 15..<15] as [Range<UInt64>] {
            #expect(!reservations.overlaps(pages), "\(pages)")
        }
        reservations.release(20..<21)
        #expect(!reservations.overlaps(20..<40) && reservations.overlaps(10..<20))
        reservations.release(10..<20)
        reservations.release(40..<50)
        #expect(reservations.isEmpty && !reservations.overlaps(0..<1000))
    }

    /// A thread that waits for pages waits while any of them is reserved, by whomever, and for no others.
    @Test func waitsWhileAnyIsReserved() {
        let reservations = self.reservations
        reservations.reserve(10..<20)
        reservations.reserve(30..<40)
        reservations.reserve(50..<60)
        Watchdog.guarding("waits while any is reserved") {
            reservations.wait(for: 20..<30)
            let waiter = Companion { reservations.wait(for: 19..<31) }
            waiter.waitUntilAsleep()
            #expect(!waiter.hasEnded)
            reservations.release(10..<20)
            waiter.waitUntilAsleep()
            #expect(!waiter.hasEnded)
            reservations.release(30..<40)
            waiter.join()
        }
        reservations.release(50..<60)
    }

    /// A reservation waits for any that overlaps it, and has all of its range then.
    @Test func reservesOnceItIsFree() {
        let reservations = self.reservations
        reservations.reserve(10..<20)
        Watchdog.guarding("reserves once it is free") {
            let second = Companion { reservations.reserve(19..<30) }
            second.waitUntilAsleep()
            #expect(!second.hasEnded)
            #expect(!reservations.overlaps(20..<30), "a waiter holds nothing")
            reservations.release(10..<20)
            second.join()
        }
        #expect(reservations.overlaps(29..<30) && reservations.overlaps(19..<20))
        #expect(!reservations.overlaps(10..<19))
        reservations.release(19..<30)
        #expect(reservations.isEmpty)
    }

    /// A write takes a reservation at once or not at all: not beside another one of its pages, not before a zero that
    /// waits, and not the last eight slots.
    @Test func writesWaitForNothing() {
        let reservations = self.reservations
        reservations.reserve(10..<20)
        #expect(reservations.isReplacing)
        #expect(!reservations.reserveAtOnce(19..<21))
        #expect(reservations.reserveAtOnce(20..<21))
        #expect(reservations.first(in: 0..<30) == 10 && reservations.first(in: 15..<30) == 15)
        #expect(reservations.first(in: 20..<30) == 20 && reservations.first(in: 21..<30) == nil)
        Watchdog.guarding("a zero waits for a write") {
            let zero = Companion { reservations.reserve(20..<40) }
            zero.waitUntilAsleep()
            #expect(!reservations.reserveAtOnce(100..<101), "zeroes that wait come first")
            reservations.release(20..<21, isReplacement: false)
            zero.join()
        }
        #expect(reservations.reserveAtOnce(100..<101))
        reservations.release(100..<101, isReplacement: false)
        reservations.release(10..<20)
        reservations.release(20..<40)
        #expect(!reservations.isReplacing && reservations.isEmpty)
        var taken: UInt64 = 0
        while reservations.reserveAtOnce(taken..<taken + 1) { taken += 1 }
        #expect(taken == 24)
        reservations.reserve(1000..<1001)
        reservations.release(1000..<1001)
        for page in 0..<taken { reservations.release(page..<page + 1, isReplacement: false) }
        #expect(reservations.isEmpty)
    }

    /// Those that wait get their ranges in the order in which they came, even if the range of a later one is free.
    @Test func nobodyOvertakes() {
        let reservations = self.reservations
        reservations.reserve(10..<20)
        Watchdog.guarding("nobody overtakes") {
            let wide = Companion { reservations.reserve(0..<100) }
            wide.waitUntilAsleep()
            let small = ([50..<51, 200..<201] as [Range<UInt64>]).map { pages in
                let companion = Companion { reservations.reserve(pages) }
                companion.waitUntilAsleep()
                return companion
            }
            #expect(!reservations.overlaps(50..<51) && !reservations.overlaps(200..<201))
            reservations.release(10..<20)
            wide.join()
            #expect(reservations.overlaps(0..<1) && !reservations.overlaps(200..<201))
            reservations.release(0..<100)
            for each in small { each.join() }
        }
        for pages in [50..<51, 200..<201] as [Range<UInt64>] { reservations.release(pages) }
        #expect(reservations.isEmpty)
    }

    /// There are 32 slots. One more reservation waits for one, though nobody has its pages, and gets
    /// whichever is free.
    @Test func waitsForAPlace() {
        let reservations = self.reservations
        for place in 0..<32 as Range<UInt64> { reservations.reserve(place * 10..<place * 10 + 5) }
        Watchdog.guarding("waits for a slot") {
            let last = Companion { reservations.reserve(1000..<1001) }
            last.waitUntilAsleep()
            #expect(!last.hasEnded)
            #expect(!reservations.overlaps(1000..<1001))
            reservations.release(70..<75)
            last.join()
        }
        #expect(reservations.overlaps(1000..<1001))
        for place in 0..<32 as Range<UInt64> where place != 7 {
            #expect(reservations.overlaps(place * 10..<place * 10 + 1))
            reservations.release(place * 10..<place * 10 + 5)
        }
        reservations.release(1000..<1001)
        #expect(reservations.isEmpty)
    }

    /// Threads reserve ranges of any size, more threads than slots. No page ever belongs to two threads, and all
    /// threads make progress.
    @Test(arguments: Seeds.of(plain: 4, sanitized: 2)) func nobodySharesAPage(seed: UInt64) {
        let reservations = self.reservations
        let owners = Owners()
        let verdict = Verdict()
        let rounds = Sanitizer.isThread ? 50 : 300
        Watchdog.guarding("nobody shares a page, seed \(seed)") {
            Thread.run(20) { number in
                var random = SplitMix64(seed: seed, stream: UInt64(number))
                for _ in 0..<rounds {
                    let first = UInt64(random.pick(0...99))
                    let range = first..<first + UInt64(random.pick(1...(random.once(in: 4) ? 100 - Int(first) : 1)))
                    reservations.reserve(range)
                    verdict.expect(owners.take(range), "\(range) belongs to another thread too")
                    sched_yield()
                    owners.give(range)
                    reservations.release(range)
                }
            }
        }
        verdict.report("FLEXPAGE_SEED=\(seed)")
        #expect(reservations.isEmpty)
    }

    /// The owner of each of a hundred pages. It orders nothing: the thread that reserved a page has been the only one.
    private final class Owners: @unchecked Sendable {
        private let taken: UnsafeMutablePointer<Bool> = .allocate(capacity: 100)

        init() { taken.initialize(repeating: false, count: 100) }
        deinit { taken.deallocate() }

        func take(_ pages: Range<UInt64>) -> Bool {
            var wasFree = true
            for page in pages {
                wasFree = wasFree && !taken[Int(page)]
                taken[Int(page)] = true
            }
            return wasFree
        }

        func give(_ pages: Range<UInt64>) { for page in pages { taken[Int(page)] = false } }
    }
}
