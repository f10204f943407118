import Glibc

@testable import Paging

/// Callers of flushes that a FlushThread may lead, their answers, and how many flushes the thread has led.
final class FlushTrial: Sendable {
    let syncs: HeldSyncs
    /// The flushes that the thread has led.
    let led = Tally()
    private let heard = Guarded<[AccessError?]>([])

    init(held: Int = 0, errors: [Int32?] = []) { syncs = HeldSyncs(held: held, errors: errors) }

    /// In the order in which the callers have returned.
    var answers: [AccessError?] { heard.withLock { $0 } }

    /// Asks for a flush, as `Durability.flush` does.
    @discardableResult
    func flush(_ flushes: SharedSync, _ thread: FlushThread, _ body: () -> Void = {}) -> AccessError? {
        var answer: AccessError?
        do throws(AccessError) {
            try flushes.share {
                body()
                let error = syncs.sync()
                if flushes.wantsHelp { thread.start { self.lead() } }
                return error
            }
        } catch {
            answer = error
        }
        heard.withLock { $0.append(answer) }
        return answer
    }

    private func lead() -> AccessError? {
        led.add()
        return syncs.sync()
    }

    /// Threads that want the next flush, and sleep.
    func callersAsleep(_ count: Int, _ flushes: SharedSync, _ thread: FlushThread) -> [Companion] {
        let callers = (0..<count).map { _ in Companion { self.flush(flushes, thread) } }
        for caller in callers { caller.waitUntilAsleep() }
        return callers
    }

    /// A caller whose flush waits at the first gate, and callers that sleep until the next flush.
    func callersBehindOne(
        _ count: Int, _ flushes: SharedSync, _ thread: FlushThread
    ) -> (first: Companion, others: [Companion]) {
        let first = Companion { self.flush(flushes, thread) }
        Thread.wait { syncs.gates[0].arrivals == 1 }
        return (first, callersAsleep(count, flushes, thread))
    }

    /// One caller flushes while two wait for the next flush. Returns when all have been answered.
    func letThreadLead(_ flushes: SharedSync, _ thread: FlushThread) {
        let gate = Gate()
        let first = Companion { self.flush(flushes, thread) { gate.pass() } }
        Thread.wait { gate.arrivals == 1 }
        let others = callersAsleep(2, flushes, thread)
        gate.open()
        for caller in [first] + others { caller.join() }
    }

    /// From now on this process can start no thread: no stack as large as the address space has room.
    static func refuseThreads() {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        // Glibc's module does not show this function.
        typealias SetDefault = @convention(c) (UnsafePointer<pthread_attr_t>) -> Int32
        let setDefault = unsafeBitCast(dlsym(nil, "pthread_setattr_default_np"), to: SetDefault?.self)
        let isSet = pthread_attr_setstacksize(&attributes, 1 << 47) == 0 && setDefault?(&attributes) == 0
        precondition(isSet, "the default stack size cannot be set")
        pthread_attr_destroy(&attributes)
    }
}
