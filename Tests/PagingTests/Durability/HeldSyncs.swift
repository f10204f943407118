@testable import Paging

/// Syncs of which the first few wait, each at a gate of its own.
final class HeldSyncs: Sendable {
    let gates: [Gate]
    let begun = Tally()
    private let errors: [Int32?]

    /// - Parameter errors: The results of the first, the second and so on; all others succeed.
    init(held: Int, errors: [Int32?] = []) {
        gates = (0..<held).map { _ in Gate() }
        self.errors = errors
    }

    /// Asks for a sync.
    func share(_ syncs: SharedSync, byItself: Bool = false) -> AccessError? {
        do throws(AccessError) {
            try syncs.share(byItself: byItself) { sync() }
            return nil
        } catch {
            return error
        }
    }

    func sync() -> AccessError? {
        let number = begun.add() - 1
        if number < gates.count { gates[number].pass() }
        return number < errors.count ? errors[number].map { AccessError($0) } : nil
    }

    /// Threads that have come for the next sync, and sleep until the one under way has ended.
    func sharersAsleep(_ count: Int, _ syncs: SharedSync) -> [Companion] {
        let sharers = (0..<count).map { _ in Companion { _ = self.share(syncs) } }
        for sharer in sharers { sharer.waitUntilAsleep() }
        return sharers
    }
}
