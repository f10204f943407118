import CIntrinsics

/// Of one image: which flexpage covers an offset.
///
/// A hash of leaves (eight base pages each), chained in buckets. The buckets of all images are one table, divided into
/// shards by the hash of the chunk. A chunk lies in one shard, and its leaves in adjacent buckets. So a request takes
/// one lock and one cache miss for each leaf. Bits of the leaf say what is dirty. So a leaf answers both "what is
/// missing here" and "what is dirty here".
///
/// An AccessMap is pointers and the image's number, cheap to copy. Look-ups are O(1), insert and remove are O(leaves of
/// the flexpage).
///
/// Thread rules: any thread, with the lock of the shard. A function for one chunk asks for a LockedChunk, which only
/// `HashedChunk.lock` makes. Its name for a whole shard says `inShard`, and debug builds check that the lock is held.
/// `chunk(of:)`, `shard(of:)` and `prefetch` want no lock.
struct AccessMap: @unchecked Sendable {
    let image: UInt16
    /// Which leaves of the image are dirty or not yet durable.
    let ledger: Ledger
    private let riskRecord: UnsafeMutablePointer<SyncRisk.Record>
    private let leaves: LeafTable
    let table: FlexpageTable
    let counters: ImageCounters
    /// Which base pages are known to be zeroes.
    let zeroes: ZeroMap
    let shards: UnsafeMutablePointer<Shard>
    private let buckets: UnsafeMutablePointer<LeafID>
    private let bucketMask: UInt64

    /// Shards of all images together: many more than threads that run at once.
    static let shardCount = 64
    private static let shardBits: UInt64 = 6

    init(
        image: UInt16, leaves: LeafTable, table: FlexpageTable, dirtyLimit: DirtyLimit, metadata: borrowing Metadata
    ) {
        self.image = image
        self.leaves = leaves
        ledger = Ledger(at: metadata.ledgers + Int(image), leaves: leaves, dirtyLimit: dirtyLimit)
        let record = metadata.syncRisks + Int(image)
        riskRecord = table.kept?.image(Int(image)).risk ?? record
        self.table = table
        counters = ImageCounters(image: image, metadata)
        zeroes = ZeroMap(metadata)
        shards = metadata.shards
        buckets = UnsafeMutableRawPointer(metadata.buckets)
            .bindMemory(to: LeafID.self, capacity: metadata.bucketsPerShard * AccessMap.shardCount)
        bucketMask = UInt64(metadata.bucketsPerShard - 1)
    }

    /// What a failed sync of the image would lose.
    @inline(__always)
    var risk: SyncRisk { SyncRisk(at: riskRecord, dirtyLimit: ledger.dirtyLimit) }

    // MARK: Chunks

    /// The chunk that `page` lies in. Its hash is a well-mixed number (the finalizer of splitmix64, by Vigna).
    @inline(__always)
    func chunk(of page: UInt64) -> HashedChunk {
        var x = (UInt64(image) &<< PageKey.pageBits | page &>> Chunk.shift) &+ 0x9E37_79B9_7F4A_7C15
        x = (x ^ x &>> 30) &* 0xBF58_476D_1CE4_E5B9
        x = (x ^ x &>> 27) &* 0x94D0_49BB_1331_11EB
        let hash = x ^ x &>> 31
        let shard = shards + Int(truncatingIfNeeded: hash & UInt64(AccessMap.shardCount - 1))
        return HashedChunk(firstPage: Chunk.firstPage(of: page), hash: hash, shard: shard)
    }

    /// The shard of the chunk that `page` lies in.
    func shard(of page: UInt64) -> UnsafeMutablePointer<Shard> { chunk(of: page).shard }

    /// Asks for the bucket of `page` to be near by when its shard's lock has been taken.
    @inline(__always)
    func prefetch(_ page: UInt64, in chunk: HashedChunk) {
        flexpage_prefetch(bucket(of: page, in: chunk))
        flexpage_prefetch(leaves[home(of: page, in: chunk)])
    }

    // MARK: Looking up

    /// Where the leaf of `page` is, most likely.
    @inline(__always)
    private func home(of page: UInt64, in chunk: HashedChunk) -> LeafID {
        leaves.home(chunk: chunk.hash, page &>> Leaf.shift & UInt64(Chunk.pages / Leaf.pages - 1))
    }

    @inline(__always)
    private func bucket(of page: UInt64, in chunk: HashedChunk) -> UnsafeMutablePointer<LeafID> {
        assert(chunk.pages.contains(page), "the hash is that of the page's chunk")
        let shard = chunk.hash & UInt64(AccessMap.shardCount - 1)
        // The leaves of a chunk follow one another, so a sequential reader walks along a cache line of buckets.
        let index = (chunk.hash &>> AccessMap.shardBits &+ page &>> Leaf.shift) & bucketMask
        return buckets + Int(truncatingIfNeeded: shard &* (bucketMask &+ 1) &+ index)
    }

    @inline(__always)
    private func key(of page: UInt64) -> UInt64 { Leaf.key(of: PageKey(image: image, page: page)) }

    /// The leaf that holds `page`, or nil if none of its eight pages is covered.
    @inline(__always)
    func leaf(of page: UInt64, in chunk: borrowing LockedChunk) -> UnsafeMutablePointer<Leaf>? {
        let key = key(of: page)
        var id = bucket(of: page, in: chunk.chunk).pointee
        while id != .none {
            let leaf = leaves[id]
            if leaf.pointee.key == key { return leaf }
            id = leaf.pointee.next
        }
        return nil
    }

    @inline(__always)
    func id(of leaf: UnsafeMutablePointer<Leaf>) -> LeafID { leaves.id(of: leaf) }

    /// The flexpage that covers `page`, or `.none`.
    @inline(__always)
    func flexpage(at page: UInt64, in chunk: borrowing LockedChunk) -> FlexpageID {
        guard let leaf = leaf(of: page, in: chunk) else { return .none }
        return leaf.pointee.flexpages[Leaf.index(of: page)]
    }

    /// Whether no flexpage covers any of `pages`.
    func isVacant(_ pages: Range<UInt64>, in chunk: borrowing LockedChunk) -> Bool {
        for part in pages.leafParts {
            guard let leaf = leaf(of: part.lowerBound, in: chunk) else { continue }
            for index in Leaf.indices(of: part) where leaf.pointee.flexpages[index] != FlexpageID.none { return false }
        }
        return true
    }

    /// Those of `pages` that no flexpage covers. O(leaves of the range).
    func vacantPages(in pages: Range<UInt64>, of chunk: borrowing LockedChunk) -> PageSet {
        var vacant = PageSet(pages)
        for part in pages.leafParts {
            guard let leaf = leaf(of: part.lowerBound, in: chunk) else { continue }
            for page in part where leaf.pointee.flexpages[Leaf.index(of: page)] != FlexpageID.none {
                vacant.remove(page)
            }
        }
        return vacant
    }

    /// Calls `body` with each leaf that there is of `pages`, and the bits of those pages in it.
    @inline(__always)
    func forEachLeaf(
        of pages: Range<UInt64>, in chunk: borrowing LockedChunk, _ body: (UnsafeMutablePointer<Leaf>, UInt8) -> Void
    ) {
        for part in pages.leafParts {
            if let leaf = leaf(of: part.lowerBound, in: chunk) { body(leaf, Leaf.bits(of: part)) }
        }
    }

    /// Calls `body` with each flexpage that covers some of `pages`, in ascending order. `body` may split it.
    @inline(__always)
    func forEachFlexpage(
        of pages: Range<UInt64>, in chunk: borrowing LockedChunk, _ body: (FlexpageID) -> Void
    ) {
        var page = pages.lowerBound
        while page < pages.upperBound {
            let id = flexpage(at: page, in: chunk)
            if id == .none {
                page += 1
            } else {
                page = table[id].covered.upperBound
                body(id)
            }
        }
    }

    // MARK: Changing

    /// Records that flexpage `id` covers its range, which is vacant (invariant 1), and is no longer known to be zeroes.
    func insert(_ id: FlexpageID, in chunk: borrowing LockedChunk) {
        let covered = table[id].covered
        assert(covered.lowerBound % UInt64(covered.count) == 0, "a flexpage is aligned to its size")
        assert(isVacant(covered, in: chunk), "flexpages must not overlap")
        forgetZeroes(in: covered, of: chunk)
        for part in covered.leafParts {
            let leaf = leaf(of: part.lowerBound, in: chunk) ?? makeLeaf(at: part.lowerBound, in: chunk)
            for index in Leaf.indices(of: part) { leaf.pointee.flexpages[index] = id }
        }
    }

    /// Records that flexpage `id` covers its range, which another flexpage covered that has been split or moved.
    func rename(_ id: FlexpageID, in chunk: borrowing LockedChunk) {
        for part in table[id].covered.leafParts {
            let leaf = leaf(of: part.lowerBound, in: chunk)!
            for index in Leaf.indices(of: part) { leaf.pointee.flexpages[index] = id }
        }
    }

    /// Records that flexpage `id` covers nothing any more. Leaves left empty are given back.
    func remove(_ id: FlexpageID, in chunk: borrowing LockedChunk) {
        // What is not durable counts as lost before it is gone.
        defer { table.kept?.clear(table.region(of: id)) }
        for part in table[id].covered.leafParts {
            let link = link(to: part.lowerBound, in: chunk)
            let leaf = leaves[link.pointee]
            for index in Leaf.indices(of: part) {
                assert(leaf.pointee.flexpages[index] == id, "a flexpage is where it was put")
                leaf.pointee.flexpages[index] = .none
            }
            forgetUnsynced(leaf, Leaf.bits(of: part))
            ledger.pagesDropped(leaves.id(of: leaf))
            if leaf.isEmpty { giveBack(leaf, linkedFrom: link) }
        }
    }

    /// The pages in `bits` of the leaf leave the cache. If they were written out and are not durable, a failed sync
    /// would lose them from now on.
    /// - Parameter isAtRisk: False if the image has something newer instead, which is durable.
    func forgetUnsynced(_ leaf: UnsafeMutablePointer<Leaf>, _ bits: UInt8, isAtRisk: Bool = true) {
        guard leaf.pointee.unsynced & bits != 0 else { return }
        risk.countUnsynced(-(leaf.pointee.unsynced & bits).nonzeroBitCount)
        leaf.pointee.unsynced &= ~bits
        if isAtRisk { risk.countAtRisk() }
    }

    private func makeLeaf(at page: UInt64, in chunk: borrowing LockedChunk) -> UnsafeMutablePointer<Leaf> {
        let bucket = bucket(of: page, in: chunk.chunk)
        let id = leaves.take(key: key(of: page), home: home(of: page, in: chunk.chunk))
        leaves[id].pointee.next = bucket.pointee
        bucket.pointee = id
        return leaves[id]
    }

    /// What leads to the leaf of `page`, which there is: its bucket, or the link of the leaf before it.
    private func link(to page: UInt64, in chunk: borrowing LockedChunk) -> UnsafeMutablePointer<LeafID> {
        let key = key(of: page)
        var link = bucket(of: page, in: chunk.chunk)
        while true {
            precondition(link.pointee != .none, "what is covered has a leaf")
            if leaves[link.pointee].pointee.key == key { return link }
            link = leaves.link(after: link.pointee)
        }
    }

    /// Takes a leaf that is empty out of its bucket and frees it.
    private func giveBack(_ leaf: UnsafeMutablePointer<Leaf>, linkedFrom link: UnsafeMutablePointer<LeafID>) {
        assert(leaf.isEmpty, "a leaf in use is not given back")
        assert(leaf.pointee.dirty | leaf.pointee.writing == 0, "dirty pages are not dropped by the way")
        assert(leaf.pointee.status.list == .none, "an empty leaf is on no list")
        let id = link.pointee
        link.pointee = leaf.pointee.next
        leaves.give(id)
    }

    // MARK: Whole shards

    /// Calls `body` with every leaf of every image in shard `index`, whose lock is held. O(buckets + leaves).
    func forEachLeaf(inShard index: Int, _ body: (LeafID, UnsafeMutablePointer<Leaf>) -> Void) {
        LockRank.shard.assertHeld()
        let count = Int(bucketMask) + 1
        for bucket in index * count..<(index + 1) * count {
            var id = buckets[bucket]
            while id != .none {
                let next = leaves[id].pointee.next
                body(id, leaves[id])
                id = next
            }
        }
    }

    /// Calls `body` with each flexpage of this image in shard `index`, whose lock is held, that `condition` holds for,
    /// until there is none. `body` brings that about, or sleeps at the shard. O(buckets + leaves).
    func forEachFlexpage(
        inShard index: Int, where condition: (FlexpageID) -> Bool,
        do body: (FlexpageID, borrowing LockedChunk) -> Void
    ) {
        var bucket = 0
        while let id = firstFlexpage(inShard: index, from: &bucket, where: condition) {
            chunk(of: table[id].pointee.key.page).assumingLocked { chunk in body(id, chunk) }
        }
    }

    /// The first flexpage of this image, in or after `bucket` of shard `index`, that `condition` holds for. `bucket`
    /// becomes the one that it is in. The lock of the shard is held. O(buckets + leaves) for all of them together.
    private func firstFlexpage(
        inShard index: Int, from bucket: inout Int, where condition: (FlexpageID) -> Bool
    ) -> FlexpageID? {
        LockRank.shard.assertHeld()
        let count = Int(bucketMask) + 1
        while bucket < count {
            if let id = firstFlexpage(in: buckets[index * count + bucket], where: condition) { return id }
            bucket += 1
        }
        return nil
    }

    private func firstFlexpage(in chain: LeafID, where condition: (FlexpageID) -> Bool) -> FlexpageID? {
        var leafID = chain
        while leafID != .none {
            let leaf = leaves[leafID]
            if leaf.image == image {
                for index in 0..<Leaf.pages {
                    let id = leaf.pointee.flexpages[index]
                    if id != FlexpageID.none, condition(id) { return id }
                }
            }
            leafID = leaf.pointee.next
        }
        return nil
    }
}
