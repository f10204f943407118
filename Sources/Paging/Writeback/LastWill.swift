import Glibc
import Synchronization

/// The last will: when the process is about to die, it brings what is dirty to the images and syncs them. It does so
/// whatever locks the other threads hold, and whatever they were about to do.
///
///     idle ── bringOut: visit the shards, sync the images ──▶ idle        (any number of times; in practice once)
///       └──── close ──▶ closed
///
/// The other threads may be stopped at any instruction, for ever, with any lock of Paging held. So the will has a way
/// of its own. It takes shards' locks only, and waits at most a second in all for those that other threads hold. It
/// allocates nothing, waits for no other thread's write-out or sync, and changes no state of a page. A shard whose lock
/// it cannot get is passed over, and the dirty pages in it are counted.
///
/// **What is written**: pages that are dirty or on their way out, if leaf, flexpage and key agree and the page lies
/// inside the image.
/// - The shard's lock is held during the write, against invariant 7. The lock keeps page, record and memory together
///   without pins: pins could be given back only by taking locks. A thread that wants the shard waits for a disk
///   meanwhile, in a process that is about to end.
/// - A page on its way out is written twice, with the same bytes: no thread changes them (invariant 5).
/// - A page that a writer is changing is waited for, for 100 ms in all, so that no sector is torn between two versions.
///   Then it is written as it is. That write has not been answered, but older ones in the page may have been.
/// - A fresh page that a writer is changing is left out. Nothing in it has been answered, and its bytes may belong to
///   another page.
/// - A page that a zero or trim under way covers is written. The zero or trim has not been answered, so it may be found
///   done or not done.
///
/// **Nothing answered is left out**, on one condition. A thread that answers a write must check a flag after its last
/// change and before the answer. The flag is set before `bringOut`, and the thread does not answer once it is set. All
/// of this is in sequentially consistent order. Take a write that saw the flag unset. It had marked its page in a
/// critical section of the shard before that check. That section came before the will's: after the will's section, the
/// write would have seen the flag. The write had also given its latch back before the check. The will reads the
/// flexpage's word after the flag was set, so it sees the latch given back, and with it the bytes.
///
/// **Open images** stand in a table without a lock. A thread that closes an image withdraws it, and waits while a will
/// is under way. The orders "withdraw, then check whether a will runs" and "run, then look up the images" cannot miss
/// one another.
///
/// Thread rules: `bringOut` on one thread at a time; the rest on any thread. Costs: O(images · buckets + leaves), and a
/// write for each run of dirty pages, 32 at once. About 130 KiB of address space that nothing touches before.
public final class LastWill: @unchecked Sendable {
    /// The result, in base pages.
    public struct Outcome: Sendable {
        /// Written to the image.
        public internal(set) var broughtOut = 0
        /// Not written, because the image refused them.
        public internal(set) var failed = 0
        /// The error of the last page that the image refused.
        public internal(set) var error: AccessError?
        /// Passed over with their shards. An estimate.
        public internal(set) var passedOver = 0
        /// Left out because the records that describe them are broken.
        public internal(set) var broken = 0
        /// The error of the last image that could not be synced.
        public internal(set) var syncError: AccessError?
    }

    private enum State {
        static let idle = 0
        static let running = 1
        static let closed = 2
    }

    /// How long the will waits for shards when it has visited all others, milliseconds. A thread that has not given its
    /// shard up in that time is stuck.
    private static let patience = 1000
    /// How long the will waits for writers in all, milliseconds.
    private static let patienceWithWriters = 100

    private let state = Atomic<Int>(State.idle)
    /// The open images, by their numbers; 0 for none.
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

    // MARK: Open images

    /// The image is open: the will brings out what is dirty of it.
    func enlist(_ provider: Provider) {
        images[Int(provider.image)].store(LastWill.bits(of: provider), ordering: .sequentiallyConsistent)
    }

    /// The image is closed. The will does not look at it any more when this returns. Another image may have its number
    /// by now.
    func withdraw(_ provider: Provider) {
        _ = images[Int(provider.image)].compareExchange(
            expected: LastWill.bits(of: provider), desired: 0, ordering: .sequentiallyConsistent)
        while state.load(ordering: .sequentiallyConsistent) == State.running { MonotonicClock.sleepBriefly() }
    }

    /// The whole Memory is about to go. No will begins after this returns, and none is under way.
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

    // MARK: Bringing out

    /// Brings what is dirty to the images, and syncs them. Does nothing if there is no Memory any more.
    /// - Parameter keepAlive: Called at the beginning if something is kept for the next server, with the word that says
    ///   when the process was last alive, in nanoseconds of CLOCK_REALTIME. Another thread should store the time there
    ///   once a second at least, until this is called again with nil. Otherwise the will's writes would count as
    ///   another program's. The Writeback, which does so while the process serves, may wait for a lock for ever.
    public func bringOut(_ keepAlive: (UnsafeMutablePointer<UInt64>?) -> Void = { _ in }) -> Outcome {
        var outcome = Outcome()
        guard
            state.compareExchange(
                expected: State.idle, desired: State.running, ordering: .sequentiallyConsistent
            ).exchanged
        else { return outcome }
        keepAlive(table.kept?.signOfLife)
        patienceLeft = LastWill.patienceWithWriters
        visitShards(&outcome)
        forEachImage { provider in
            do throws(AccessError) { try provider.durability.syncByWill() } catch { outcome.syncError = error }
        }
        keepAlive(nil)
        state.store(State.idle, ordering: .sequentiallyConsistent)
        return outcome
    }

    /// Visits first the shards whose locks are free. It waits for the others when all else is out.
    private func visitShards(_ outcome: inout Outcome) {
        // A bit for each shard that is left.
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

    /// Takes the shard's lock, unless that takes longer than `patience` (milliseconds), which it reduces by the time
    /// that it waits. It polls, because not every system has a timed lock that goes by the monotonic clock.
    /// - Returns: Whether it has the lock.
    private func tryLock(_ shard: UnsafeMutablePointer<Shard>, _ patience: inout Int) -> Bool {
        while !shard.tryLock() {
            guard patience > 0 else { return false }
            patience -= 1
            MonotonicClock.sleepBriefly()
        }
        return true
    }

    /// Writes out what is dirty in a shard. The shard's lock is held.
    private func visit(_ index: Int, _ outcome: inout Outcome) {
        forEachImage { provider in
            forEachLeaf(inShard: index, ofImage: provider.image) { leaf in
                take(leaf, of: provider, &outcome)
            }
            batch.submit(to: provider.accessor, &outcome)
        }
    }

    /// Adds the leaf's dirty pages to the batch, and submits the batch whenever it is full.
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

    /// Whether the record of flexpage `id` agrees with the leaf: it covers `page` of that image, its memory exists, and
    /// the page lies inside the image.
    private func agrees(_ id: FlexpageID, with page: UInt64, of provider: Provider) -> Bool {
        guard Int(id) < metadata.frames else { return false }
        let flexpage = table[id]
        return flexpage.pointee.order <= Region.maxOrder
            && Int(id) + Int(flexpage.pages) <= metadata.frames
            && flexpage.pointee.key.image == provider.image && flexpage.covered.contains(page)
            && BasePage.offset(of: page) < provider.size
            && PageState(table.word(id).pointee.state.load(ordering: .relaxed)).has(PageState.populated)
    }

    /// Waits, while there is patience left, until no writer is changing flexpage `id`.
    /// - Returns: Whether nothing in the flexpage has ever been answered.
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

    /// How many pages are dirty in a shard whose lock another thread keeps. An estimate: the count may be changing.
    private func dirtyPages(inShard index: Int, ofImage image: UInt16) -> Int {
        var count = 0
        forEachLeaf(inShard: index, ofImage: image) {
            count += ($0.pointee.dirty | $0.pointee.writing).nonzeroBitCount
        }
        return count
    }

    /// Calls `body` with the image's leaves in the order of the buckets, in which the leaves of a chunk ascend. It
    /// ends, and stays inside the table, however broken the chains are.
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
