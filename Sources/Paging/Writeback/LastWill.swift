import Glibc
import Synchronization

/// The last will: brings what is dirty to the images, and syncs them, when the process is about to die, whatever its
/// other threads hold or were about to do.
///
///     idle ── bringOut: visit the shards, sync the images ──▶ idle        (any number of times; in life, once)
///       └──── close ──▶ closed
///
/// The other threads may be stopped at any instruction, for ever, with any lock of Paging held. So this has a way of
/// its own: it takes the shards' locks only, and of these none that cannot be had in a second; it allocates nothing,
/// waits for no other's write-out or sync, and changes no state of a page. A shard that cannot be had is passed over,
/// and what that costs is counted.
///
/// **What is written**: pages that are dirty or on their way out, where leaf, flexpage and key say the same and the
/// page lies inside the image.
/// - The shard's lock is held over the writing, against invariant 7: it keeps page, record and memory together without
///   pins, which could only be given back by taking locks. Whoever wants the shard waits for a disk meanwhile, in a
///   process that is about to end.
/// - What is on its way out is written twice, with the same bytes: nobody changes them (invariant 5).
/// - A page in which a writer is busy is waited for, 100 ms in all, so that no sector is torn between two versions;
///   then it is written as it is. That write has not been answered, but older ones in the page may have been.
/// - A fresh page in which a writer is busy is left out: nothing in it has been answered, and its bytes may be
///   another's.
/// - A page that a zero or trim under way covers is written: as that has not been answered, it may be found done or
///   not.
///
/// **Nothing answered is left out**, if whoever answers a write looks, after its last change and before the answer, at
/// a flag that is set before `bringOut`, and then does not answer; all in the order of sequential consistency. A write
/// that saw the flag unset had its page marked in a critical section of the shard before, hence before the one of the
/// will: one after it would have seen the flag. And it had given its latch back before it looked: so the will, which
/// reads the word after the flag was set, sees that, and with it the bytes.
///
/// **Open images** stand in a table without a lock. Who closes one withdraws it, and waits while a will is under way.
/// The orders "withdraw, then look whether it runs" and "run, then look who is there" cannot miss one another.
///
/// Thread rules: `bringOut` on one thread at a time; the rest on any. Costs: O(images · buckets + leaves), and a write
/// for each run of dirty pages, 32 at once. Some 130 KiB of address space that nothing touches before.
public final class LastWill: @unchecked Sendable {
    /// What became of it, in base pages.
    public struct Outcome: Sendable {
        /// Written to the image.
        public internal(set) var broughtOut = 0
        /// Could not be written, and why the last of them could not.
        public internal(set) var failed = 0
        public internal(set) var error: AccessError?
        /// Passed over with their shards, as well as could be told.
        public internal(set) var passedOver = 0
        /// Left out because what describes them is broken.
        public internal(set) var broken = 0
        /// Why an image could not be synced.
        public internal(set) var syncError: AccessError?
    }

    private enum State {
        static let idle = 0
        static let running = 1
        static let closed = 2
    }

    /// How long shards are waited for when all others have been visited, milliseconds: whose holder has not gone on in
    /// that time is stuck.
    private static let patience = 1000
    /// How long writers are waited for in all, milliseconds.
    private static let patienceWithWriters = 100

    private let state = Atomic<Int>(State.idle)
    /// The open images, each in the place that its number says; 0 for none.
    private let images: UnsafeMutablePointer<Atomic<UInt>>
    private let metadata: Metadata
    private let table: FlexpageTable
    private let batch: LastWillBatch
    private var patienceLeft = 0

    init(table: FlexpageTable, metadata: borrowing Metadata) {
        self.table = table
        self.metadata = copy metadata
        batch = LastWillBatch()
        images = .allocate(capacity: metadata.images)
        for image in 0..<metadata.images { (images + image).initialize(to: Atomic(0)) }
    }

    deinit {
        batch.destroy()
        images.deallocate()
    }

    // MARK: Who is in it

    /// The image is open: what is dirty of it is to be brought out.
    func enlist(_ provider: Provider) {
        images[Int(provider.image)].store(LastWill.bits(of: provider), ordering: .sequentiallyConsistent)
    }

    /// The image is closed. Nobody looks at it any more when this returns. Its number may be another image's by now.
    func withdraw(_ provider: Provider) {
        _ = images[Int(provider.image)].compareExchange(
            expected: LastWill.bits(of: provider), desired: 0, ordering: .sequentiallyConsistent)
        while state.load(ordering: .sequentiallyConsistent) == State.running { MonotonicClock.sleepBriefly() }
    }

    /// All of the Memory is about to go. No will begins after this returns, and none is under way.
    func close() {
        while !state.compareExchange(
            expected: State.idle, desired: State.closed, ordering: .sequentiallyConsistent
        ).exchanged { MonotonicClock.sleepBriefly() }
    }

    private static func bits(of provider: Provider) -> UInt {
        UInt(bitPattern: Unmanaged.passUnretained(provider).toOpaque())
    }

    private func provider(ofImage image: Int) -> Unmanaged<Provider>? {
        let bits = images[image].load(ordering: .sequentiallyConsistent)
        return UnsafeRawPointer(bitPattern: bits).map { Unmanaged<Provider>.fromOpaque($0) }
    }

    /// Calls `body` with each image that is open and can be written.
    private func forEachImage(_ body: (Provider) -> Void) {
        for image in 0..<metadata.images {
            provider(ofImage: image)?._withUnsafeGuaranteedRef { if $0.accessor.isWritable { body($0) } }
        }
    }

    // MARK: What it does

    /// Brings what is dirty to the images, and syncs them. Does nothing where there is no Memory any more.
    public func bringOut() -> Outcome {
        var outcome = Outcome()
        guard
            state.compareExchange(
                expected: State.idle, desired: State.running, ordering: .sequentiallyConsistent
            ).exchanged
        else { return outcome }
        patienceLeft = LastWill.patienceWithWriters
        visitShards(&outcome)
        forEachImage { provider in
            do throws(AccessError) { try provider.accessor.makeDurable() } catch { outcome.syncError = error }
        }
        state.store(State.idle, ordering: .sequentiallyConsistent)
        return outcome
    }

    /// Those first that can be had at once: who is stuck is waited for when all else is out.
    private func visitShards(_ outcome: inout Outcome) {
        // A bit for each that is left.
        var left: UInt64 = 0
        for index in 0..<AccessMap.shardCount {
            let shard = metadata.shards + index
            if shard.tryLock() {
                visit(index, &outcome)
                shard.unlock()
            } else {
                left |= 1 << UInt64(index)
            }
        }
        var patience = LastWill.patience
        for index in 0..<AccessMap.shardCount where left & 1 << UInt64(index) != 0 {
            let shard = metadata.shards + index
            if tryLock(shard, &patience) {
                visit(index, &outcome)
                shard.unlock()
            } else {
                forEachImage { outcome.passedOver += dirtyPages(inShard: index, ofImage: $0.image) }
            }
        }
    }

    /// Takes the shard's lock as soon as it can be had, if there is so much patience: milliseconds, of which it uses up
    /// some. By trying again and again, because there is no timed lock that goes by the monotonic clock on all systems.
    private func tryLock(_ shard: UnsafeMutablePointer<Shard>, _ patience: inout Int) -> Bool {
        while !shard.tryLock() {
            guard patience > 0 else { return false }
            patience -= 1
            MonotonicClock.sleepBriefly()
        }
        return true
    }

    /// Writes out what is dirty in a shard, whose lock is held.
    private func visit(_ index: Int, _ outcome: inout Outcome) {
        forEachImage { provider in
            forEachLeaf(inShard: index, ofImage: provider.image) { leaf in
                take(leaf, of: provider, &outcome)
            }
            batch.submit(to: provider.accessor, &outcome)
        }
    }

    /// Adds the leaf's dirty pages to the batch, which is submitted where it is full.
    private func take(_ leaf: UnsafeMutablePointer<Leaf>, of provider: Provider, _ outcome: inout Outcome) {
        var bits = leaf.pointee.dirty | leaf.pointee.writing
        while bits != 0 {
            let index = bits.trailingZeroBitCount
            bits &= bits - 1
            let page = leaf.firstPage + UInt64(index)
            let id = leaf.pointee.flexpages[index]
            guard agrees(id, with: page, of: provider) else {
                outcome.broken += 1
                continue
            }
            if isLeftToItsWriter(id) { continue }
            if !batch.hasRoom(for: page) { batch.submit(to: provider.accessor, &outcome) }
            let position = Int(page - table[id].pointee.key.page) * BasePage.size
            batch.add(page, table.memory(of: id) + position)
        }
    }

    /// Whether the record of flexpage `id` says what the leaf does: that it covers `page` of that image, with memory
    /// that there is; and whether the page is one of the image's.
    private func agrees(_ id: FlexpageID, with page: UInt64, of provider: Provider) -> Bool {
        guard Int(id) < metadata.frames else { return false }
        let flexpage = table[id]
        return flexpage.pointee.order <= Region.maxOrder
            && Int(id) + Int(flexpage.pages) <= metadata.frames
            && flexpage.pointee.key.image == provider.image && flexpage.covered.contains(page)
            && BasePage.offset(of: page) < provider.size
            && PageState(table.word(id).pointee.state.load(ordering: .relaxed)).has(PageState.populated)
    }

    /// Waits, for as long as there is patience, until no writer is busy in flexpage `id`.
    /// - Returns: Whether nothing in it has ever been answered.
    private func isLeftToItsWriter(_ id: FlexpageID) -> Bool {
        while true {
            let word = PageState(table.word(id).pointee.state.load(ordering: .sequentiallyConsistent))
            guard word.has(PageState.exclusive) else { return false }
            if word.has(PageState.fresh) { return true }
            guard patienceLeft > 0 else { return false }
            patienceLeft -= 1
            MonotonicClock.sleepBriefly()
        }
    }

    /// What is dirty in a shard whose lock cannot be had: a guess, as it may be about to change.
    private func dirtyPages(inShard index: Int, ofImage image: UInt16) -> Int {
        var count = 0
        forEachLeaf(inShard: index, ofImage: image) {
            count += ($0.pointee.dirty | $0.pointee.writing).nonzeroBitCount
        }
        return count
    }

    /// Calls `body` with the image's leaves in the order of the buckets, in which those of a chunk ascend. It ends, and
    /// stays in the table, however broken the chains are.
    private func forEachLeaf(
        inShard index: Int, ofImage image: UInt16, _ body: (UnsafeMutablePointer<Leaf>) -> Void
    ) {
        let count = metadata.bucketsPerShard
        let buckets = UnsafeMutableRawPointer(metadata.buckets).assumingMemoryBound(to: LeafID.self)
        var left = metadata.frames
        for bucket in index * count..<(index + 1) * count {
            var id = buckets[bucket]
            while id != .none, Int(id.raw) <= metadata.frames, left > 0 {
                let leaf = metadata.leaves + Int(id.raw)
                let next = leaf.pointee.next
                if leaf.image == image { body(leaf) }
                id = next
                left -= 1
            }
        }
    }
}
