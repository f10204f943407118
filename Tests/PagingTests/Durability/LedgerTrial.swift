import Glibc
import TestSupport

@testable import Paging

/// Some leaves of a Ledger, with random events in random order, and what must be true after each event. A flush of any
/// epoch finds what it must find. What has failed is known. A sync makes durable exactly what was out before it began.
struct LedgerTrial {
    private static let leaves: ClosedRange<UInt64> = 1...6
    private let rig: LedgerRig
    private var random: SplitMix64
    private var epoch: UInt32
    private var syncsBegun: UInt32
    /// The sync that is under way, if one is.
    private var sync: UInt32?
    /// For each page that is dirty or going out, the epoch that dirtied it. The key is leaf times 8, plus bit.
    private var dirtiedIn: [UInt64: UInt32] = [:]
    /// The pages that failed and are not out.
    private var failed: Set<UInt64> = []
    /// For each leaf, the number of syncs that had begun when all its unsynced pages were out.
    private var outBefore: [UInt64: UInt32] = [:]
    /// The error found in the last event.
    private var mistake: String?

    init(seed: UInt64) throws {
        random = SplitMix64(seed: seed)
        epoch = random.once(in: 2) ? 1 : UInt32.max - UInt32(random.pick(0...20))
        syncsBegun = random.once(in: 2) ? 0 : UInt32.max - UInt32(random.pick(0...10))
        rig = try LedgerRig(epoch: epoch, syncsBegun: syncsBegun)
    }

    // MARK: - Events

    /// - Returns: What has happened.
    mutating func doSomething() -> String {
        let leaf = UInt64(random.pick(1...6))
        let bits = random.once(in: 2) ? 0xFF : UInt8(random.pick(1...255))
        switch random.pick(0...10) {
        case 0, 1: return dirty(leaf, bits & UInt8(random.pick(1...255)))
        case 2, 3: return begin(leaf, bits)
        case 4, 5: return end(leaf, bits)
        case 6: return fail(leaf, bits)
        case 7: return syncFailsMeanwhile(leaf, bits)
        case 8: return drop(leaf, bits)
        case 9: return endEpoch()
        default: return sync == nil ? beginSync() : endSync(hasFailed: random.once(in: 3))
        }
    }

    private func pages(_ leaf: UInt64, _ bits: UInt8) -> [UInt64] {
        (0..<8 as Range<UInt64>).filter { bits & 1 << UInt8($0) != 0 }.map { leaf * 8 + $0 }
    }

    /// A writer never touches what is going out.
    private mutating func dirty(_ leaf: UInt64, _ bits: UInt8) -> String {
        let bits = bits & ~rig.leaf(leaf).pointee.writing
        guard bits != 0 else { return "nothing" }
        for page in pages(leaf, bits & ~rig.leaf(leaf).pointee.dirty) { dirtiedIn[page] = epoch }
        rig.dirty(leaf, bits)
        return "dirtying \(leaf)"
    }

    private mutating func begin(_ leaf: UInt64, _ bits: UInt8) -> String {
        guard rig.leaf(leaf).pointee.dirty & bits != 0 else { return "nothing" }
        rig.begin(leaf, bits)
        return "beginning \(leaf)"
    }

    private mutating func end(_ leaf: UInt64, _ bits: UInt8) -> String {
        let bits = bits & rig.leaf(leaf).pointee.writing
        guard bits != 0 else { return "nothing" }
        forget(pages(leaf, bits))
        rig.end(leaf, bits)
        outBefore[leaf] = syncsBegun
        return "ending \(leaf)"
    }

    private mutating func fail(_ leaf: UInt64, _ bits: UInt8) -> String {
        let bits = bits & rig.leaf(leaf).pointee.writing
        guard bits != 0 else { return "nothing" }
        failed.formUnion(pages(leaf, bits))
        rig.fail(leaf, bits, with: random.once(in: 2) ? EIO : ENOSPC)
        return "failing \(leaf)"
    }

    /// The pages are as old as they were, and those that had failed do not count as out.
    private func syncFailsMeanwhile(_ leaf: UInt64, _ bits: UInt8) -> String {
        let bits = bits & rig.leaf(leaf).pointee.writing
        guard bits != 0 else { return "nothing" }
        rig.syncFailsMeanwhile(leaf, bits)
        return "a sync fails while \(leaf) goes out"
    }

    private mutating func drop(_ leaf: UInt64, _ bits: UInt8) -> String {
        let bits = bits & ~rig.leaf(leaf).pointee.writing
        let before = rig.list(leaf)
        forget(pages(leaf, bits))
        rig.drop(leaf, bits)
        if before == .dirty, rig.list(leaf) == .unsynced { outBefore[leaf] = syncsBegun }
        return "dropping \(leaf)"
    }

    private mutating func forget(_ pages: [UInt64]) {
        for page in pages { dirtiedIn[page] = nil }
        failed.subtract(pages)
    }

    private mutating func endEpoch() -> String {
        if rig.ledger.endEpoch() != epoch { mistake = "another epoch has ended" }
        epoch &+= 1
        return "the end of an epoch"
    }

    private mutating func beginSync() -> String {
        syncsBegun &+= 1
        sync = rig.ledger.beginSync()
        if sync != syncsBegun { mistake = "another sync has begun" }
        return "the beginning of a sync"
    }

    private mutating func endSync(hasFailed: Bool) -> String {
        defer { sync = nil }
        if hasFailed {
            for leaf in LedgerTrial.leaves { dirtyAgain(leaf) }
            return "a failed sync"
        }
        let durable = rig.markDurable(bySync: sync!)
        let due = LedgerTrial.leaves.filter { durable.contains($0) || rig.list($0) == .unsynced }
            .filter { Ledger.isLater(sync!, than: outBefore[$0]!) }
        if durable.sorted() != due { mistake = "\(durable) are durable and \(due) are due" }
        return "a good sync"
    }

    private mutating func dirtyAgain(_ leaf: UInt64) {
        let before = rig.leaf(leaf).pointee.dirty
        rig.dirtyAgain(leaf)
        for page in pages(leaf, rig.leaf(leaf).pointee.dirty & ~before) { dirtiedIn[page] = epoch }
    }

    // MARK: - What must be true

    /// What is wrong now, or nil.
    var finding: String? {
        if let mistake { return mistake }
        for leaf in LedgerTrial.leaves {
            if rig.list(leaf) != expectedList(leaf) { return "\(leaf) is on the list \(rig.list(leaf))" }
            if let finding = findingOfFailure(leaf) { return finding }
        }
        if let finding = findingOfCounts { return finding }
        for back in 0...3 as ClosedRange<UInt32> {
            if let finding = findingOfFlush(epoch &- back) { return finding }
        }
        rig.ledger.checkInvariants()
        return nil
    }

    private func expectedList(_ leaf: UInt64) -> LeafStatus.List {
        let leaf = rig.leaf(leaf)
        if leaf.pointee.dirty | leaf.pointee.writing != 0 { return .dirty }
        return leaf.pointee.unsynced != 0 ? .unsynced : .none
    }

    private func findingOfFailure(_ leaf: UInt64) -> String? {
        let hasFailed = rig.leaf(leaf).pointee.status.hasFailed
        if !hasFailed, pages(leaf, 0xFF).contains(where: failed.contains) { return "nobody knows that \(leaf) failed" }
        if hasFailed, rig.list(leaf) != .dirty { return "\(leaf) is out and counts as failed" }
        return nil
    }

    private var findingOfCounts: String? {
        let failedLeaves = LedgerTrial.leaves.count { rig.leaf($0).pointee.status.hasFailed }
        let dirtyLeaves = LedgerTrial.leaves.count { rig.list($0) == .dirty }
        if rig.ledger.failedLeaves != failedLeaves { return "\(failedLeaves) leaves have failed" }
        if rig.ledger.dirtyLeaves != dirtyLeaves { return "\(dirtyLeaves) leaves are dirty" }
        if (rig.ledger.error == nil) != (failedLeaves == 0) { return "the error is \(rig.ledger.error as Any)" }
        let isStuck = failedLeaves > 0 && failedLeaves == dirtyLeaves
        if (rig.ledger.stuck != nil) != isStuck { return "stuck: \(rig.ledger.stuck as Any)" }
        if (rig.pages.dirtyLimit.stuck != nil) != isStuck {
            return "the dirty limit says stuck: \(rig.pages.dirtyLimit.stuck as Any)"
        }
        return nil
    }

    /// A flush that ends epoch `last` finds every leaf with a page that this epoch or an earlier one dirtied, except
    /// those that it will report as failed. What it finds is in the order of epochs.
    private func findingOfFlush(_ last: UInt32) -> String? {
        let found = rig.oldest(upTo: last)
        for leaf in LedgerTrial.leaves where !rig.leaf(leaf).pointee.status.hasFailed && !found.contains(leaf) {
            let epochs = pages(leaf, 0xFF).compactMap { dirtiedIn[$0] }
            if epochs.contains(where: { !Ledger.isLater($0, than: last) }) { return "a flush misses \(leaf)" }
        }
        let epochs = found.map { rig.leaf($0).pointee.epoch }
        if zip(epochs, epochs.dropFirst()).contains(where: { Ledger.isLater($0, than: $1) }) {
            return "the epochs are \(epochs)"
        }
        let well = found.filter { !rig.leaf($0).pointee.status.hasFailed }
        return rig.oldest(upTo: last, includingFailed: false) == well ? nil : "a write-out tries what has failed"
    }
}
