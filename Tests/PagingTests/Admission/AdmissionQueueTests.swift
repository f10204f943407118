import Glibc
import Testing

@testable import Paging

/// Waiters are admitted in the order of their turns, in parts, and nobody else is woken.
@Suite struct AdmissionQueueTests {
    private let pages: Pages
    private let queue: AdmissionQueue

    init() throws {
        pages = try Pages(memory: Pages.minMemory)
        queue = AdmissionQueue(mutex: pages.memory.metadata.mutex(.admission))
    }

    /// Two images, as far as this queue knows them.
    private static func image(_ number: Int) -> UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(bitPattern: 8 + number * 8)!
    }

    /// A thread that waits, and notes the outcome.
    private func waiter(
        _ number: Int, wanting wanted: Int = 1, of image: Int = 0, turn: UInt64? = nil, _ events: Guarded<[[Int]]>,
        reasonToGiveUp: @escaping @Sendable () -> AccessError? = { nil }
    ) -> Companion {
        let queue = self.queue
        let before = queue.arrivals
        let companion = Companion {
            do throws(AccessError) {
                let granted = try queue.waitForTurn(
                    turn ?? queue.turn, wanting: wanted, of: Self.image(image), serve: {},
                    reasonToGiveUp: reasonToGiveUp)
                events.withLock { $0.append([number, granted]) }
            } catch {
                events.withLock { $0.append([number, -Int(error.code)]) }
            }
        }
        Thread.wait { queue.arrivals > before }
        return companion
    }

    /// Serves as far as `room` goes, but not writers of image `full`.
    private func serve(_ room: Int, full: Int? = nil) {
        var room = room
        queue.serve { wanted, image in
            if let full, image == Self.image(full) { return AdmissionQueue.notForThis }
            let part = min(wanted, room)
            room -= part
            return part
        }
    }

    /// Waiters are served in the order in which they came, and no more of them than there is room for.
    @Test func inTheOrderOfArrival() {
        let events = Guarded<[[Int]]>([])
        Watchdog.guarding("in the order of arrival") {
            let waiters = (0..<3).map { waiter($0, events) }
            #expect(!queue.isEmpty)
            for number in 0..<3 {
                serve(1)
                waiters[number].join()
                #expect(events.withLock { $0 }.map { $0[0] } == Array(0...number))
            }
        }
        #expect(queue.isEmpty)
    }

    /// The first waiter gets what there is, however much more it wants, and the next gets nothing before it.
    @Test func theFirstGetsAPart() {
        let events = Guarded<[[Int]]>([])
        Watchdog.guarding("the first gets a part") {
            let waiters = [waiter(0, wanting: 256, events), waiter(1, events)]
            serve(7)
            waiters[0].join()
            #expect(events.withLock { $0 } == [[0, 7]])
            serve(1)
            waiters[1].join()
            #expect(events.withLock { $0 } == [[0, 7], [1, 1]])
        }
    }

    /// One call to serve admits as many as there is room for, and leaves the others asleep.
    @Test func onlyWhoIsAdmittedIsWoken() {
        let events = Guarded<[[Int]]>([])
        Watchdog.guarding("only an admitted waiter is woken") {
            let asked = Tally()
            let waiters = (0..<4).map { number in
                waiter(number, events) {
                    asked.add()
                    return nil
                }
            }
            Thread.wait { asked.count == 4 }
            for waiter in waiters { waiter.waitUntilAsleep() }
            serve(3)
            for waiter in waiters[..<3] { waiter.join() }
            waiters[3].waitUntilAsleep()
            // A waiter that is woken looks for a reason to give up before it sleeps again.
            #expect(asked.count == 4)
            serve(1)
            waiters[3].join()
        }
        #expect(events.withLock { $0 }.count == 4)
    }

    /// A writer that was admitted, gave that back and comes again is before those that came to wait after its write
    /// began.
    @Test func whoComesAgainKeepsItsPlace() {
        let events = Guarded<[[Int]]>([])
        Watchdog.guarding("a writer that comes again keeps its place") {
            let turn = queue.turn
            let first = waiter(0, events)
            let later = (1..<3).map { waiter($0, events) }
            let again = waiter(9, turn: turn, events)
            for waiter in [first, again] + later {
                serve(1)
                waiter.join()
            }
        }
        #expect(events.withLock { $0 } == [[0, 1], [9, 1], [1, 1], [2, 1]])
    }

    /// A waiter with a reason to give up gets it as the error and leaves the queue from any position. Those behind are
    /// served.
    @Test func whoGivesUpIsNotInTheWay() {
        let events = Guarded<[[Int]]>([])
        Watchdog.guarding("a waiter that gives up is not in the way") {
            let hopeless = Tally()
            let waiters = (0..<4).map { number in
                waiter(number, events) { number % 2 == 0 && hopeless.count > 0 ? AccessError(EIO) : nil }
            }
            hopeless.add()
            queue.wakeAll()
            waiters[0].join()
            waiters[2].join()
            #expect(events.withLock { Set($0) } == [[0, -Int(EIO)], [2, -Int(EIO)]])
            serve(2)
            waiters[1].join()
            waiters[3].join()
        }
        #expect(queue.isEmpty)
        #expect(events.withLock { Set($0) }.isSuperset(of: [[1, 1], [3, 1]]))
    }

    /// A waiter that gives up while it is being admitted has been admitted.
    @Test func whatIsGrantedIsNotLost() {
        let events = Guarded<[[Int]]>([])
        Watchdog.guarding("what is granted is not lost") {
            let gate = Gate()
            let one = waiter(0, events) {
                gate.pass()
                return AccessError(EIO)
            }
            Thread.wait { gate.arrivals == 1 }
            serve(1)
            gate.open()
            one.join()
        }
        #expect(events.withLock { $0 } == [[0, 1]])
        #expect(queue.isEmpty)
    }

    /// Waiters whose own image has no room are passed over, and keep their turn.
    @Test func passesOverAFullImage() {
        let events = Guarded<[[Int]]>([])
        Watchdog.guarding("passes over a full image") {
            let waiters = [waiter(0, of: 0, events), waiter(1, of: 1, events), waiter(2, of: 0, events)]
            serve(5, full: 0)
            waiters[1].join()
            #expect(events.withLock { $0 } == [[1, 1]])
            serve(1)
            waiters[0].join()
            serve(1)
            waiters[2].join()
        }
        #expect(events.withLock { $0 } == [[1, 1], [0, 1], [2, 1]])
        #expect(queue.isEmpty)
    }

    /// If there is no room for any image, nobody passes the first one.
    @Test func nobodyPassesTheFirst() {
        let events = Guarded<[[Int]]>([])
        Watchdog.guarding("nobody passes the first") {
            let waiters = [waiter(0, of: 0, events), waiter(1, of: 1, events)]
            serve(0)
            for waiter in waiters { waiter.waitUntilAsleep() }
            #expect(events.withLock { $0 }.isEmpty)
            serve(2)
            for waiter in waiters { waiter.join() }
        }
        #expect(queue.isEmpty)
    }

    /// If there is room when a waiter comes, it gets the room at once.
    @Test func looksBeforeItSleeps() throws {
        let granted = try queue.waitForTurn(
            0, wanting: 4, of: Self.image(0), serve: { serve(2) }, reasonToGiveUp: { nil })
        #expect(granted == 2)
        #expect(queue.isEmpty)
    }
}
