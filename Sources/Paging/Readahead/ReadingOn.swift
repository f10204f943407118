import Synchronization

/// Of one image: how far the read of a miss goes on past the pages that are wanted.
///
///     missed ── earns ──▶ credit ◀── pays (wasted) ── pages that were read in vain
///     used ──── earns ───────┘
///
/// Reading ahead takes reads of its own, and needs to know a stream before. To read on takes none: it is the client's
/// own read that becomes longer. Where reads limit the volume (`VolumeJudge`), pages cost nothing. There a read goes on
/// for as many pages as are resident in a row just before the miss, at least eight and at most 32. On a slow volume of
/// which it is not known whether reads limit it, it goes on for half as many. Elsewhere no read goes on: it was no gain
/// for all loads.
///
/// Pages that are read on are not used yet, like those read ahead: they enter probation, and leave it first. Those
/// that leave it unused are paid for. While there is no credit, no read goes on. Clients earn an eighth of the pages
/// that they miss. Where reads limit the volume, each page that was of use earns four. So accesses at random, which use
/// none, soon stop it.
///
/// All numbers are base pages. Credit is counted in sixty-fourths of one.
///
/// Thread rules: any thread, without a lock. O(1).
struct ReadingOn: @unchecked Sendable {
    /// How many pages before a miss count at most, and how far a read goes on at most.
    static let mostBefore: UInt64 = 64, most: UInt64 = 32
    /// No read goes on where windows of reading ahead are not larger than this. It would take all of a window, and the
    /// mark in it, so that the reader would never start the next one.
    static let minWindow = 64
    /// The minimum where reads limit the volume.
    static let least: UInt64 = 8
    /// The maximum credit, which an image also begins with, and the maximum debt: 512 KiB and 4 MiB.
    private static let maxCredit = 128 * unit, maxDebt = 1024 * unit
    private static let unit = 64
    /// What a page that was missed earns, and one that was of use.
    private static let worthOfMiss = unit / 8, worthOfUse = 4 * unit

    private let state: UnsafeMutablePointer<State>

    // None of it is part of a schedule: what comes a moment late does no harm.
    private struct State: ~Copyable {
        let credit = Synchronization.Atomic<Int>(ReadingOn.maxCredit)
        let limit = Synchronization.Atomic<Int>(VolumeJudge.Limit.unknown.rawValue)
        let maxWindow = Synchronization.Atomic<Int>(.max)
    }

    init() {
        state = .allocate(capacity: 1)
        state.initialize(to: State())
    }

    func destroy() {
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// What limits the volume, as far as it is known.
    var limit: VolumeJudge.Limit {
        get { VolumeJudge.Limit(rawValue: state.pointee.limit.load(ordering: .relaxed)) ?? .unknown }
        nonmutating set { state.pointee.limit.store(newValue.rawValue, ordering: .relaxed) }
    }

    /// The maximum window of reading ahead at present.
    func windowsAre(upTo maxWindow: UInt64) {
        state.pointee.maxWindow.store(Int(clamping: maxWindow), ordering: .relaxed)
    }

    /// Whether a read may go on.
    var isOn: Bool { credit > 0 && state.pointee.maxWindow.load(ordering: .relaxed) > ReadingOn.minWindow }

    /// Less than nothing while more was wasted than earned.
    var credit: Int { state.pointee.credit.load(ordering: .relaxed) / ReadingOn.unit }

    /// How many pages the read of a miss goes on.
    /// - Parameter before: How many pages just before the miss are resident.
    func pages(after before: UInt64) -> UInt64 {
        guard credit > 0 else { return 0 }
        return switch limit {
        case .unknown, .bytes: 0
        case .either: min(ReadingOn.most, before / 2)
        case .reads: min(ReadingOn.most, max(before, ReadingOn.least))
        }
    }

    /// A client has missed `pages`.
    func missed(_ pages: UInt64) { earn(Int(pages) * ReadingOn.worthOfMiss) }

    /// `pages` that were read on or ahead have been used for the first time.
    func used(_ pages: UInt64) {
        guard limit == .reads else { return }
        earn(Int(pages) * ReadingOn.worthOfUse)
    }

    /// A read that has gone on has failed, and might not have without that. There is a debt now, so that the next reads
    /// do not meet the same bad sector.
    func failed() { wasted(UInt64(ReadingOn.maxDebt / ReadingOn.unit)) }

    /// `pages` were read in vain.
    func wasted(_ pages: UInt64) {
        guard pages > 0 else { return }
        change { max($0 - Int(pages) * ReadingOn.unit, -ReadingOn.maxDebt) }
    }

    private func earn(_ more: Int) {
        guard state.pointee.credit.load(ordering: .relaxed) < ReadingOn.maxCredit else { return }
        change { min($0 + more, ReadingOn.maxCredit) }
    }

    private func change(_ next: (Int) -> Int) {
        var before = state.pointee.credit.load(ordering: .relaxed)
        while true {
            let (exchanged, original) = state.pointee.credit.weakCompareExchange(
                expected: before, desired: next(before), ordering: .relaxed)
            if exchanged { return }
            before = original
        }
    }
}
