import Glibc

@testable import Paging

/// A Ledger and leaves of it, known by their numbers. What an AccessMap does to a leaf is done by hand.
final class LedgerRig {
    let pages: Pages
    let ledger: Ledger
    private var made: [UInt64: LeafID] = [:]

    /// - Parameter epoch: The Ledger's first epoch; `syncsBegun` likewise.
    init(epoch: UInt32 = 1, syncsBegun: UInt32 = 0) throws {
        pages = try Pages(memory: Pages.minMemory)
        ledger = pages.accessMap(ofImage: 0).ledger
        ledger.prepare()
        ledger.record.pointee.epoch = epoch
        ledger.record.pointee.syncsBegun = syncsBegun
    }

    func id(_ number: UInt64) -> LeafID {
        if let id = made[number] { return id }
        let id = pages.leaves.take(key: number, home: LeafID(raw: 1))
        made[number] = id
        return id
    }

    func leaf(_ number: UInt64) -> UnsafeMutablePointer<Leaf> { pages.leaves[id(number)] }
    func list(_ number: UInt64) -> LeafStatus.List { leaf(number).pointee.status.list }

    // MARK: - What happens to a leaf

    /// A client writes to pages of the leaf.
    func dirty(_ number: UInt64, _ bits: UInt8 = 1) {
        let wasClean = leaf(number).pointee.dirty == 0
        leaf(number).pointee.dirty |= bits
        ledger.dirtied(id(number), wasClean: wasClean)
    }

    /// Those of the pages that are dirty begin to be written out.
    func begin(_ number: UInt64, _ bits: UInt8 = 0xFF) {
        let taken = leaf(number).pointee.dirty & bits
        leaf(number).pointee.dirty &= ~taken
        leaf(number).pointee.writing |= taken
        if leaf(number).pointee.dirty == 0 { ledger.allDirtyTaken(id(number)) }
    }

    /// Those of the pages that are going out are out.
    func end(_ number: UInt64, _ bits: UInt8 = 0xFF) {
        let ended = leaf(number).pointee.writing & bits
        leaf(number).pointee.writing &= ~ended
        leaf(number).pointee.unsynced |= ended
        ledger.wroteOut(id(number))
    }

    /// Those of the pages that are going out could not be written.
    func fail(_ number: UInt64, _ bits: UInt8 = 0xFF, with code: Int32 = EIO) {
        let failed = leaf(number).pointee.writing & bits
        leaf(number).pointee.writing &= ~failed
        leaf(number).pointee.dirty |= failed
        ledger.failedToWriteOut(id(number), AccessError(code))
    }

    /// Those of the pages that are going out are out, but a sync has failed meanwhile: they are dirty again.
    func syncFailsMeanwhile(_ number: UInt64, _ bits: UInt8 = 0xFF) {
        let out = leaf(number).pointee.writing & bits
        leaf(number).pointee.writing &= ~out
        leaf(number).pointee.dirty |= out
        ledger.syncFailedMeanwhile(id(number))
    }

    /// All dirty pages of the leaf are written out.
    func writeOut(_ number: UInt64) {
        begin(number)
        end(number)
    }

    /// All dirty pages of the leaf are tried in vain.
    func tryInVain(_ number: UInt64, with code: Int32 = EIO) {
        begin(number)
        fail(number, with: code)
    }

    /// Pages of the leaf, none of them going out, are dropped.
    func drop(_ number: UInt64, _ bits: UInt8 = 0xFF) {
        leaf(number).pointee.dirty &= ~bits
        leaf(number).pointee.unsynced &= ~bits
        ledger.pagesDropped(id(number))
    }

    /// A sync has failed: the unsynced pages of the leaf become dirty again, except those going out.
    func dirtyAgain(_ number: UInt64) {
        let again = leaf(number).pointee.unsynced & ~leaf(number).pointee.writing
        guard again != 0 else { return }
        leaf(number).pointee.unsynced &= ~again
        leaf(number).pointee.dirty |= again
        if list(number) == .unsynced { ledger.dirtiedAgain(id(number)) }
    }

    /// A good sync makes leaves durable.
    /// - Returns: These leaves, in their former order.
    @discardableResult
    func markDurable(bySync number: UInt32) -> [UInt64] {
        var durable: [UInt64] = []
        while let key = ledger.firstUnsynced(beforeSync: number), ledger.markDurable(id(key), bySync: number) {
            leaf(key).pointee.unsynced = 0
            durable.append(key)
        }
        return durable
    }

    // MARK: - What it says

    /// The leaves that a flush would write out.
    func oldest(upTo epoch: UInt32, includingFailed: Bool = true, maxCount: Int = 100) -> [UInt64] {
        Array(unsafeUninitializedCapacity: maxCount) { keys, count in
            count = ledger.oldestDirty(
                upTo: epoch, includingFailed: includingFailed,
                into: UnsafeMutableBufferPointer(rebasing: keys[..<maxCount]))
        }
    }

    /// All leaves that are dirty, in the order of the list.
    var dirtyList: [UInt64] { oldest(upTo: ledger.record.pointee.epoch) }
}
