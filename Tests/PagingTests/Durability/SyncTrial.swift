import Glibc
import TestSupport

@testable import Paging

/// Syncs with their times, to judge callers by.
final class SyncTrial: Sendable {
    private struct Sync {
        var begin: UInt64
        var end: UInt64
        var error: AccessError?
    }

    let verdict = Verdict()
    private let seed: UInt64
    private let clock = Clock()
    private let underWay = Tally()
    private let done = Guarded<[Sync]>([])

    init(seed: UInt64) { self.seed = seed }

    var syncCount: Int { done.withLock { $0.count } }

    /// Asks for a sync, and judges the result.
    /// - Parameter afterwards: Is called after a sync that the caller has led, before that counts as ended.
    func call(_ syncs: SharedSync, _ afterwards: () -> Void = {}) {
        let since = clock.tick()
        var failure: AccessError?
        do throws(AccessError) {
            try syncs.share {
                let error = sync()
                afterwards()
                return error
            }
        } catch {
            failure = error
        }
        let until = clock.tick()
        let own = done.withLock { $0.filter { $0.begin > since && $0.end < until } }
        let isDue = own.contains { ($0.error != nil) == (failure != nil) }
        verdict.expect(isDue, "\(failure as Any) from \(since) to \(until), of \(own)")
    }

    func sync() -> AccessError? {
        verdict.expect(underWay.add() == 1, "two syncs at once")
        let begin = clock.tick()
        var random = SplitMix64(seed: seed, stream: begin)
        usleep(UInt32(random.pick(0...50)))
        let error = random.once(in: 4) ? AccessError(EIO) : nil
        done.withLock { $0.append(Sync(begin: begin, end: clock.tick(), error: error)) }
        underWay.add(-1)
        return error
    }
}
