import Glibc
import Synchronization

/// Where in the Memory each table of paging metadata lies.
///
/// All that paging ever needs is laid out here once, before serving begins: nothing on the data path allocates
/// (invariant 8). The tables are sized for the worst case, one resident base page a leaf, so no access pattern needs
/// more. Known zeroes are the exception: they are forgotten if there is no room. Bytes for each frame, beside its 4096:
/// flexpage 24, its word 8, leaf 64, buckets 4 to 8, ghosts 6, writeback 8, bad pages 2, written parts 2, known zeroes
/// 6, free lists 0.3, and what counts for each image at most 12. Together that is some 3.5 % of the memory.
struct Metadata {
    let frames: Int
    let flexpages: UnsafeMutablePointer<Flexpage>
    let words: UnsafeMutablePointer<FlexpageWord>
    let leaves: UnsafeMutablePointer<Leaf>
    let freeLeaves: UnsafeMutablePointer<UInt64>
    let buckets: UnsafeMutablePointer<UInt32>
    let bucketsPerShard: Int
    let shards: UnsafeMutablePointer<Shard>
    let ghosts: UnsafeMutablePointer<GhostEntry>
    let ghostBuckets: Int
    let ledgers: UnsafeMutablePointer<Ledger.Record>
    let syncRisks: UnsafeMutablePointer<SyncRisk.Record>
    let readaheadWaste: UnsafeMutablePointer<Atomic<UInt64>>
    let imageQueues: UnsafeMutablePointer<ImageQueues>
    let holdings: UnsafeMutablePointer<Holding>
    /// Room for the order in which images give.
    let givers: UnsafeMutablePointer<UInt64>
    /// One for each shard of each image.
    let imageHits: UnsafeMutablePointer<UInt64>
    let imageCounters: UnsafeMutablePointer<ImageCounters.Record>
    /// One more than there are images.
    let dirtyImages: UnsafeMutablePointer<DirtyLimit.Image>
    /// How many images there can be at once.
    let images: Int
    let writebackKeys: UnsafeMutablePointer<UInt64>
    let badPages: UnsafeMutablePointer<UInt16>
    let writtenParts: UnsafeMutablePointer<Synchronization.Atomic<UInt32>>
    let writtenPartCount: Int
    let zeroGroups: UnsafeMutablePointer<ZeroMap.Group>
    let zeroGroupsPerShard: Int
    let freeRegions: InlineArray<9, UnsafeMutablePointer<UInt64>>
    let mutexes: UnsafeMutablePointer<pthread_mutex_t>
    let conditions: UnsafeMutablePointer<pthread_cond_t>
    /// Bytes of all the tables, a multiple of the base page.
    let bytes: Int

    /// The locks among the tables, besides those of shards and Ledgers.
    enum LockName: Int, CaseIterable {
        case memory
        case leaves
        case queue
        case waiters
        case admission
    }
    static let mutexCount = LockName.allCases.count
    /// Conditions besides those of the shards: waiters for memory.
    static let conditionCount = 1

    /// Lays out the tables for `frames` frames from `base` on, and touches none of that memory.
    init(frames: Int, at base: UnsafeMutableRawPointer) {
        var carver = Carver(at: base)
        self.frames = frames
        shards = carver.carve(Shard.self, AccessMap.shardCount)
        mutexes = carver.carve(pthread_mutex_t.self, Metadata.mutexCount)
        conditions = carver.carve(pthread_cond_t.self, Metadata.conditionCount)
        words = carver.carve(FlexpageWord.self, frames)
        flexpages = carver.carve(Flexpage.self, frames)
        leaves = carver.carve(Leaf.self, frames + 1)
        freeLeaves = carver.carve(UInt64.self, BitTree.words(capacity: frames + 1))
        bucketsPerShard = max(4, max(1, frames / AccessMap.shardCount).roundedUpToPowerOfTwo)
        buckets = carver.carve(UInt32.self, bucketsPerShard * AccessMap.shardCount)
        ghostBuckets = Ghosts.buckets(frames: frames)
        ghosts = carver.carve(GhostEntry.self, ghostBuckets * Ghosts.entriesPerBucket)
        images = KeptLayout.images(frames: frames)
        ledgers = carver.carve(Ledger.Record.self, images)
        syncRisks = carver.carve(SyncRisk.Record.self, images)
        readaheadWaste = carver.carve(Atomic<UInt64>.self, images)
        imageQueues = carver.carve(ImageQueues.self, images)
        holdings = carver.carve(Holding.self, images)
        givers = carver.carve(UInt64.self, images)
        imageHits = carver.carve(UInt64.self, images * AccessMap.shardCount)
        imageCounters = carver.carve(ImageCounters.Record.self, images)
        dirtyImages = carver.carve(DirtyLimit.Image.self, images + 1)
        writebackKeys = carver.carve(UInt64.self, WritebackQueue.slotCount * WritebackQueue.capacity(frames: frames))
        badPages = carver.carve(UInt16.self, frames)
        writtenPartCount = WrittenParts.count(frames: frames)
        writtenParts = carver.carve(Synchronization.Atomic<UInt32>.self, writtenPartCount)
        zeroGroupsPerShard = ZeroMap.groupsPerShard(frames: frames)
        zeroGroups = carver.carve(ZeroMap.Group.self, zeroGroupsPerShard * AccessMap.shardCount)
        var free = InlineArray<9, UnsafeMutablePointer<UInt64>>(
            repeating: carver.carve(UInt64.self, BitTree.words(capacity: frames)))
        for order in 1...Region.maxOrder {
            free[order] = carver.carve(UInt64.self, BitTree.words(capacity: (frames >> order) + 1))
        }
        freeRegions = free
        bytes = carver.bytes
    }

    /// Where the lock of this name lies.
    func mutex(_ name: LockName) -> UnsafeMutablePointer<pthread_mutex_t> { mutexes + name.rawValue }

    /// The largest number of frames for which frames and tables together fit into `bytes`, or nil if that is less than
    /// `minimum`. O(log frames).
    /// - Parameter keptIn: Bytes of the pages that the frames and their kept section come in; nil if nothing is kept.
    static func frames(fittingInto bytes: Int, atLeast minimum: Int, keptIn unit: Int? = nil) -> Int? {
        var (fitting, tooMany) = (minimum - 1, bytes / BasePage.size + 1)
        while tooMany - fitting > 1 {
            let middle = (fitting + tooMany) / 2
            if self.bytes(forFrames: middle, keptIn: unit) <= bytes { fitting = middle } else { tooMany = middle }
        }
        return fitting < minimum ? nil : fitting
    }

    /// The bytes that frames and tables together take.
    /// - Parameter keptIn: See `frames`.
    static func bytes(forFrames frames: Int, keptIn unit: Int? = nil) -> Int {
        let nowhere = UnsafeMutableRawPointer(bitPattern: BasePage.size)!
        let tables = Metadata(frames: frames, at: nowhere).bytes
        return tables + (unit.map { KeptLayout(frames: frames, unit: $0).bytes } ?? frames * BasePage.size)
    }
}
