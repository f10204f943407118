import Glibc

/// Gets Regions: new ones from the Memory, else ones recycled from the PageQueue. One per process, shared by all
/// images.
///
/// Owns the Memory and all that lies in it, from `init` to its end; Providers keep it alive.
///
/// The order of all locks is in README.md (Locks), and `LockRank` checks it in debug builds. Nothing is held across the
/// Accessor's I/O.
public final class Pages: @unchecked Sendable {
    /// The least that `init` takes, bytes: 1 MiB. With less, requests would wait for each other's pages most of the
    /// time.
    public static let minMemory = Memory.minBytes

    /// The most that `init` takes, bytes: 8 TiB.
    public static let maxMemory = Memory.maxBytes

    /// The largest image that there can be a Provider of, bytes.
    public static let maxImageSize = PageKey.maxImageSize

    /// Whether `init` would find so much memory now.
    /// - Throws: As `init`.
    public static func check(memory bytes: Int) throws(AccessError) { _ = try Memory(bytes: bytes) }

    /// The smallest window of reading ahead, bytes.
    public static let minReadahead = 64 << 10
    /// The largest window of reading ahead where nobody says otherwise, bytes.
    public static let defaultReadahead = 4 << 20

    /// The share of the pages that may be dirty before writers wait, where nobody says otherwise.
    public static let defaultDirtyShare = 0.4
    /// What that share can be: something must be left for reads.
    public static let dirtyShares = 0.01...0.9

    /// The most base pages that one read of an image populates: a chunk of 1 MiB.
    public static let maxFill = 256

    let memory: Memory
    let table: FlexpageTable
    let leaves: LeafTable
    let queue: PageQueue
    let waiters: MemoryWaiters
    let dirtyLimit: DirtyLimit
    let pace: DiskPace
    let writebackQueue: WritebackQueue
    /// The most frames that one fill takes, so that one request leaves others some to work with.
    let maxFramesOfFill: Int
    let prefetches: PrefetchQueue
    let readaheadWaste: ReadaheadWaste
    /// What brings dirty pages out when the process is about to die.
    public let will: LastWill
    /// The largest window of reading ahead, base pages.
    let maxReadahead: Int
    /// Tells whoever runs the server; called from any thread, with no lock held.
    let notify: @Sendable (Notice) -> Void

    /// Maps the arena.
    /// - Parameter bytes: The bound of all pages and all paging metadata together, at least `minMemory`.
    /// - Parameter dirtyShare: The share of the pages that may be dirty before writers wait, 0.01 to 0.9.
    /// - Parameter flushTime: Milliseconds that a flush may take: no more is dirty than the disk writes out and syncs
    ///   in that time, as far as can be told from what it did lately. Nil where only `dirtyShare` counts.
    /// - Parameter readahead: The largest window that is read ahead of a stream, bytes; 0 for none. A third of
    ///   probation at the most, which is a thirtieth of the pages, so that two windows find room there: where main is
    ///   full of what is used, what is read further ahead would be recycled before its reader comes. (With an eighth of
    ///   the pages, 16 MiB of memory, a hot set as large and a scan beside it, 60 % of the hot set's hits were lost;
    ///   with a 32nd 17 %.)
    /// - Parameter maxPagesOfFill: The most base pages that are populated by one read of an image, 1 to 256. With 1,
    ///   every flexpage is a base page: what a simulation of fixed 4 KiB pages wants.
    /// - Parameter notify: Told of troubles and their ends, from any thread.
    /// - Throws: ENOMEM where so much cannot be mapped, EINVAL where it is too little.
    public init(
        memory bytes: Int, dirtyShare: Double = Pages.defaultDirtyShare, flushTime: Int? = nil,
        readahead: Int = Pages.defaultReadahead, maxPagesOfFill: Int = Pages.maxFill,
        notify: @escaping @Sendable (Notice) -> Void = { _ in }
    ) throws(AccessError) {
        self.notify = notify
        memory = try Memory(bytes: bytes)
        table = FlexpageTable(memory)
        leaves = LeafTable(memory)
        queue = PageQueue(table: table, metadata: memory.metadata)
        waiters = MemoryWaiters(memory.metadata)
        maxFramesOfFill = max(1, min(memory.metadata.frames / 8, maxPagesOfFill))
        let share = min(max(dirtyShare, Pages.dirtyShares.lowerBound), Pages.dirtyShares.upperBound)
        dirtyLimit = DirtyLimit(limit: Int(Double(memory.metadata.frames) * share), memory.metadata)
        pace = DiskPace(dirtyLimit, flushTime: flushTime, mutex: memory.metadata.mutex(.pace))
        writebackQueue = WritebackQueue(memory.metadata, pace)
        prefetches = PrefetchQueue(memory.metadata)
        readaheadWaste = ReadaheadWaste(memory.metadata)
        will = LastWill(table: table, metadata: memory.metadata)
        maxReadahead = min(readahead / BasePage.size, queue.probationTarget / 3)
        for index in 0..<AccessMap.shardCount { (memory.metadata.shards + index).prepare() }
    }

    deinit {
        will.close()
        queue.destroy()
        waiters.destroy()
        pace.destroy()
        dirtyLimit.destroy()
        writebackQueue.destroy()
        prefetches.destroy()
    }

    /// The AccessMap of image number `image`. Free of cost: it is a view of the shared tables.
    func accessMap(ofImage image: UInt16) -> AccessMap {
        AccessMap(image: image, leaves: leaves, table: table, dirtyLimit: dirtyLimit, metadata: memory.metadata)
    }

    /// How many base pages there is room for.
    public var frames: Int { memory.metadata.frames }

    /// The `memory` that has room for exactly `frames` base pages beside its tables, bytes.
    public static func memory(forFrames frames: Int) -> Int { Metadata.bytes(forFrames: frames) }

    /// A Region of `order` or, where that cannot be had, of the largest order below, recycling, moving and splitting
    /// what it must; nil where every page is in use or dirty. Waits for nothing.
    /// - Parameter room: Frames that the caller needs in all. So many are recycled at once, because pages that were
    ///   populated together lie together, and make larger Regions together.
    func takeRegion(order: Int, room: Int) -> Region? {
        while memory.freeFrames < room, recycleOne() {}
        repeat {
            if let region = memory.take(maxOrder: order) { return widened(region, upTo: order) }
        } while recycleOne() || splitOne()
        return nil
    }

    /// Gives a Region back that holds nothing any more.
    func give(_ region: Region) {
        memory.give(region)
        waiters.wake()
    }

    /// Why no memory can be had and nobody is about to give any back: all of it is dirty, and none of that can be
    /// written out. Nil while there is hope. Who then sleeps as a MemoryWaiter is woken by whatever ends it: each
    /// write-out that ends, well or not, wakes. O(frames) where nothing dirty can be written out.
    var noMemoryBecause: AccessError? {
        guard let error = dirtyLimit.stuck, queue.isAllDirtyAndIdle(0..<FlexpageID(frames)) else { return nil }
        return error
    }

    /// Recycles the flexpage whose turn it is. Amortised O(leaves of the flexpage).
    /// - Returns: False where none can be recycled now.
    private func recycleOne() -> Bool {
        while let candidate = queue.nextCandidate() {
            if recycle(candidate) { return true }
        }
        return false
    }

    /// Takes the candidate out of its AccessMap and frees its Region; puts it back into the queue where somebody has
    /// taken it into use since.
    private func recycle(_ candidate: PageQueue.Candidate) -> Bool {
        let map = accessMap(ofImage: candidate.key.image)
        let shard = map.shard(of: candidate.key.page)
        let region = table.region(of: candidate.id)
        shard.lock()
        // Whoever drops a page that a recycler has in hand takes it out of the map and leaves the Region to the
        // recycler.
        if map.flexpage(at: candidate.key.page) == candidate.id {
            guard PageState(table.word(candidate.id).pointee.state.load(ordering: .acquiring)).isRecyclable else {
                queue.putBack(candidate.id, to: candidate.from)
                shard.unlock()
                return false
            }
            if PageState(table.word(candidate.id).pointee.state.load(ordering: .relaxed)).has(PageState.prefetched) {
                readaheadWaste.count(table[candidate.id].pages, ofImage: candidate.key.image)
            }
            map.remove(candidate.id)
            shard.pointee.recycles += 1
        }
        shard.unlock()
        give(region)
        return true
    }

    /// A snapshot of what has been counted, over all images. O(shards).
    public var counters: Counters {
        var counters = Counters()
        for index in 0..<AccessMap.shardCount {
            let shard = memory.metadata.shards + index
            shard.lock()
            counters.add(shard.pointee)
            shard.unlock()
        }
        counters.dirtyWaits = dirtyLimit.waits
        counters.allowedDirtyPages = UInt64(dirtyLimit.allowed)
        counters.dirtyPages = UInt64(max(0, dirtyLimit.pages))
        counters.bytesInUse = UInt64(memory.bytesInUse)
        counters.peakBytesInUse = UInt64(memory.peakBytesInUse)
        return counters
    }
}
