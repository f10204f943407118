import CStateFormat
import Glibc

/// The memory of all images, one per process. It does two things:
///
/// - It supplies Regions: new ones from the Memory, or if there are none, ones recycled from the PageQueue
///   (`takeRegion`, `give`). Pages+Compaction makes them larger, and Pages+Splitting makes more of them.
/// - It is the context that all images share. It owns the Memory and what lies in it, and whatever else exists once per
///   process: the dirty limit, the queues for write-back and reading ahead, the last will. Providers keep it alive. The
///   context is no type of its own, because every part of it is made of the Memory and ends before it.
///
/// Thread rules: any thread. The order of all locks is in README.md (Locks), and `LockRank` checks it in debug builds.
/// No lock is held while an image is reached.
public final class Pages: @unchecked Sendable {
    /// The minimum that `init` takes, bytes: 1 MiB. With less, requests would mostly wait for each other's pages.
    public static let minMemory = Memory.minBytes

    /// The maximum that `init` takes, bytes: 8 TiB.
    public static let maxMemory = Memory.maxBytes

    /// The maximum size of an image, bytes.
    public static let maxImageSize = PageKey.maxImageSize

    /// The maximum number of images that can be open at once. With little memory, there can be fewer.
    public static let maxImages = Int(FLEXPAGE_STATE_MAX_IMAGES)

    /// The size of the largest flexpage, bytes.
    public static let maxFlexpageSize = BasePage.size << Region.maxOrder

    /// Whether `init` would find `bytes` bytes of memory now.
    /// - Throws: As `init`.
    public static func check(memory bytes: Int) throws(AccessError) { _ = try Memory(bytes: bytes) }

    /// The minimum window of reading ahead, bytes.
    public static let minReadahead = 64 << 10
    /// The default of the maximum window of reading ahead, bytes.
    public static let defaultReadahead = 4 << 20

    /// The default share of the pages that may be dirty before writers wait.
    public static let defaultDirtyShare = 0.4
    /// The shares that are allowed: something must be left for reads.
    public static let dirtyShares = 0.01...0.9

    /// The maximum number of base pages that one read of an image populates: a chunk of 1 MiB.
    public static let maxFill = Chunk.pages

    let memory: Memory
    let table: FlexpageTable
    let leaves: LeafTable
    let queue: PageQueue
    let waiters: MemoryWaiters
    let dirtyLimit: DirtyLimit
    /// Milliseconds that a flush may take, or nil if that does not matter.
    let flushTime: Int?
    /// Whether several images share the Memory. Then one image has at most half of what they share.
    let isShared: Bool
    let writebackQueue: WritebackQueue
    /// What follows from the number of frames that there are at present.
    let sizes: MemorySizes
    /// The share of them that may be dirty before writers wait.
    let dirtyShare: Double
    let prefetches: PrefetchQueue
    let readaheadWaste: ReadaheadWaste
    let writtenParts: WrittenParts
    /// Of all images since the beginning.
    let latencies = ImageLatencies()
    /// What brings dirty pages out when the process is about to die.
    public let will: LastWill
    /// What knows what other amounts of memory would give, or nil.
    let advisor: Advisor?
    /// What is set aside for it and for others, bytes.
    private let aside: Int
    /// Tells the person who runs the server of an image's troubles. It is called from any thread, with no lock held.
    let notify: @Sendable (Notice, Provider) -> Void
    /// Hears of each flexpage that is recycled, or nil if nobody wants to.
    private let recycled: (@Sendable (_ pages: Range<UInt64>, _ image: UInt16, _ isFromMain: Bool) -> Void)?

    /// Maps the arena.
    /// - Parameter bytes: The bound of all pages and all paging metadata together, at least `minMemory`.
    /// - Parameter dirtyShare: The share of the pages that may be dirty before writers wait, 0.01 to 0.9.
    /// - Parameter flushTime: Milliseconds that a flush may take. No more is dirty than the disk writes out and syncs
    ///   in that time, as far as its recent speed tells. If it is nil, only `dirtyShare` counts.
    /// - Parameter readahead: The maximum window that is read ahead of a stream, bytes; 0 for none. It is capped at a
    ///   third of probation, a thirtieth of the pages, so that two windows fit. If main is full of pages in use, what
    ///   is read further ahead would be recycled before its reader comes. (This was measured with 16 MiB of memory, a
    ///   hot set as large, and a scan beside it. With an eighth of the pages the hot set lost 60 % of its hits, with a
    ///   32nd 17 %.)
    /// - Parameter maxPagesOfFill: The maximum number of base pages that one read of an image populates, 1 to 256. With
    ///   1, every flexpage is a base page. A simulation of fixed 4 KiB pages uses that.
    /// - Parameter isShared: Whether several images share the memory. Then one of them has at most half of what may be
    ///   dirty, of the threads that write out and that read ahead, and of what is read ahead. So an image whose disk
    ///   hangs does not stop the others.
    /// - Parameter isFar: Whether images may be far away, so that a read takes long, whatever its length. Then a window
    ///   grows to a tenth of the pages if its reader waits for what is read ahead.
    /// - Parameter advice: Bytes of the memory that are set aside for advice about its amount: `adviceBytes`, or 0 for
    ///   no advice.
    /// - Parameter aside: Bytes of the memory that the pages leave to others: `warmListBytes`, if there are such lists.
    /// - Parameter kept: What the next server is to find, which has the frames: what another server has left, or an
    ///   empty section. It lasts as long as the Pages. If another server has left something,
    ///   `ProviderRegistry.takeOver` comes before anything else. If it is nil, nothing is kept.
    /// - Parameter backing: What `kept` lies in, if blocks of it can be given back to the system.
    /// - Parameter notify: Hears of the troubles of an image and of their ends, from any thread.
    /// - Parameter recycled: Hears of each flexpage that is recycled, from any thread and with no lock held: its base
    ///   pages, the number of its image (`Provider.image`), and whether it was in main, so that it had been hit, or had
    ///   come back soon. The pages are clean, no request finds them any more, and no other page has their memory yet. A
    ///   simulation of what else could become of them uses that.
    /// - Throws: ENOMEM if that much cannot be mapped, EINVAL if it is too little or too much.
    public init(
        memory bytes: Int, dirtyShare: Double = Pages.defaultDirtyShare, flushTime: Int? = nil,
        readahead: Int = Pages.defaultReadahead, maxPagesOfFill: Int = Pages.maxFill, isShared: Bool = false,
        isFar: Bool = false, advice: Int = 0, aside: Int = 0, kept: KeptState? = nil,
        backing: (any MemoryBacking)? = nil,
        notify: @escaping @Sendable (Notice, Provider) -> Void = { _, _ in },
        recycled: (@Sendable (_ pages: Range<UInt64>, _ image: UInt16, _ isFromMain: Bool) -> Void)? = nil
    ) throws(AccessError) {
        self.notify = notify
        self.recycled = recycled
        self.flushTime = flushTime
        self.isShared = isShared
        self.aside = advice + aside
        memory = try Memory(bytes: bytes - advice - aside, kept: kept, backing: backing)
        let layout = AdvisorLayout(
            frames: memory.metadata.frames, images: memory.metadata.images, bytes: advice)
        advisor = try layout.map { (layout) throws(AccessError) in try Advisor(layout) }
        table = FlexpageTable(memory)
        leaves = LeafTable(memory)
        queue = PageQueue(table: table, metadata: memory.metadata)
        waiters = MemoryWaiters(memory.metadata)
        let frames = memory.metadata.frames
        sizes = MemorySizes(
            frames: frames, maxPagesOfFill: maxPagesOfFill, readahead: readahead / BasePage.size, isFar: isFar)
        self.dirtyShare = min(max(dirtyShare, Pages.dirtyShares.lowerBound), Pages.dirtyShares.upperBound)
        dirtyLimit = DirtyLimit(
            limit: Int(Double(frames) * self.dirtyShare), isShared: isShared, memory.metadata)
        writebackQueue = WritebackQueue(memory.metadata)
        prefetches = PrefetchQueue(memory.metadata, sizes, isShared: isShared)
        readaheadWaste = ReadaheadWaste(memory.metadata)
        writtenParts = WrittenParts(memory.metadata)
        will = LastWill(table: table, metadata: memory.metadata)
        for index in 0..<AccessMap.shardCount { (memory.metadata.shards + index).prepare() }
    }

    deinit {
        will.close()
        queue.destroy()
        waiters.destroy()
        dirtyLimit.destroy()
        writebackQueue.destroy()
        prefetches.destroy()
        sizes.destroy()
        latencies.destroy()
    }

    /// The AccessMap of image number `image`. It costs nothing: it is a view of the shared tables.
    func accessMap(ofImage image: UInt16) -> AccessMap {
        AccessMap(
            image: image, leaves: leaves, table: table, dirtyLimit: dirtyLimit.ofImage(image),
            metadata: memory.metadata)
    }

    /// How long reads of all images took so far, calls that write pages out, calls that make them durable, and flushes.
    public var fillLatencies: Latencies { latencies.fills.snapshot }
    public var writeOutLatencies: Latencies { latencies.writeOuts.snapshot }
    public var syncLatencies: Latencies { latencies.syncs.snapshot }
    public var flushLatencies: Latencies { latencies.flushes.snapshot }

    /// The bound of all pages and tables together, what is set aside among them, bytes.
    var bytes: Int { memory.bytes + aside }

    /// The number of base pages that there is room for, if nothing limits the memory to less (`MemoryLimit`).
    public var frames: Int { memory.metadata.frames }

    /// The maximum number of frames that one fill takes, so that one request leaves some to the others.
    var maxFramesOfFill: Int { sizes.maxFramesOfFill }

    /// There are `frames` frames from now on. Writers that there is room for now are admitted. If more is dirty than
    /// may be, it goes out.
    func follow(frames: Int) {
        sizes.follow(frames)
        queue.setFrames(frames)
        dirtyLimit.setLimit(Int(Double(frames) * dirtyShare))
        writebackQueue.kick()
    }

    /// The `memory` that has room for exactly `frames` base pages beside its tables, bytes.
    public static func memory(forFrames frames: Int) -> Int { Metadata.bytes(forFrames: frames) }

    /// A Region of `order`, or if there is none, of the largest order below. Recycles, moves and splits what it must.
    /// Nil if every page is in use or dirty. Waits for nothing. No lock is held.
    /// - Parameter room: Frames that the caller needs in all. All of them are recycled at once, because pages that were
    ///   populated together lie together, and make larger Regions together.
    func takeRegion(order: Int, room: Int) -> Region? {
        LockRank.assertNoneHeld("pages are recycled")
        assert(order >= 0 && order <= Region.maxOrder, "a Region is at most a chunk")
        while memory.freeFrames < room, recycleOne() {}
        repeat {
            if let region = memory.take(maxOrder: order) { return widened(region, upTo: order) }
        } while recycleOne() || splitOne()
        return nil
    }

    /// Gives back a Region that holds nothing any more.
    func give(_ region: Region) {
        memory.give(region)
        waiters.wake()
    }

    /// The error for which there is no memory and will be none: all of it is dirty, and none of that can be written
    /// out. Nil if there is hope. Then a thread may sleep in MemoryWaiters, and whatever changes this wakes it: each
    /// write-out that ends, well or not. O(frames) if nothing dirty can be written out.
    var noMemoryBecause: AccessError? {
        guard let error = dirtyLimit.stuck else { return nil }
        let withheld = memory.withheldFrames
        // If frames have become free meanwhile, the thread that freed them wakes those that wait for memory.
        guard queue.isAllDirtyAndIdle(0..<FlexpageID(frames), but: withheld.count),
            memory.withheldFrames.reopenings == withheld.reopenings
        else { return nil }
        return error
    }

    /// Recycles the flexpage whose turn it is. Amortised O(leaves of the flexpage).
    /// - Returns: False if none can be recycled now.
    func recycleOne() -> Bool {
        while let candidate = queue.nextCandidate() {
            if recycle(candidate) { return true }
        }
        return false
    }

    /// Takes the candidate out of its AccessMap and frees its Region. If it has come into use since, puts it back into
    /// the queue.
    /// - Returns: Whether its Region has been freed.
    private func recycle(_ candidate: PageQueue.Candidate) -> Bool {
        let map = accessMap(ofImage: candidate.key.image)
        let region = table.region(of: candidate.id)
        let chunk = map.chunk(of: candidate.key.page).lock()
        // A thread that drops a page which a recycler has in hand takes it out of the map, and leaves the Region to the
        // recycler.
        let isInMap = map.flexpage(at: candidate.key.page, in: chunk) == candidate.id
        if isInMap {
            let state = table.state(of: candidate.id)
            guard state.isRecyclable else {
                queue.putBack(candidate.id, to: candidate.from)
                chunk.unlock()
                return false
            }
            if state.has(PageState.prefetched) {
                let count = table[candidate.id].pages
                readaheadWaste.count(table[candidate.id].covered, ofImage: candidate.key.image)
                chunk.shard.pointee.pagesReadAheadInVain += count
                map.counters.countReadAheadInVain(count)
            }
            map.remove(candidate.id, in: chunk)
            chunk.shard.pointee.recycles += 1
            map.counters.countRecycle()
        }
        chunk.unlock()
        if isInMap, let recycled {
            let end = candidate.key.page + UInt64(region.frames)
            recycled(candidate.key.page..<end, candidate.key.image, candidate.from == .main)
        }
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
        counters.allowedDirtyPages = UInt64(dirtyLimit.allowedOfAll)
        counters.dirtyPages = UInt64(max(0, dirtyLimit.pages))
        counters.bytesInUse = UInt64(memory.bytesInUse + aside)
        counters.peakBytesInUse = UInt64(memory.peakBytesInUse + aside)
        return counters
    }
}
