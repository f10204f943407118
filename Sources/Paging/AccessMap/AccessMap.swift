import CIntrinsics

/// Of one image: which flexpage covers an offset.
///
/// A hash of leaves (eight base pages each), chained in buckets. The buckets of all images are one table, divided into
/// shards by the hash of the chunk, so that a chunk lies in one shard and its leaves in adjacent buckets: one lock and
/// one cache miss a leaf serve a request. Bits of the leaf say what is dirty, so "what is missing here" and "what is
/// dirty here" are read off it.
///
/// An AccessMap is pointers and the image's number, cheap to copy. Everything but `shard(of:)` wants the shard's lock
/// held by the caller. Look-ups are O(1), insert and remove O(leaves of the flexpage).
struct AccessMap: @unchecked Sendable {
    let image: UInt16
    /// Which leaves of the image are dirty or not yet durable.
    let ledger: Ledger
    private let riskRecord: UnsafeMutablePointer<SyncRisk.Record>
    private let leaves: LeafTable
    let table: FlexpageTable
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
        riskRecord = metadata.syncRisks + Int(image)
        self.table = table
        zeroes = ZeroMap(metadata)
        shards = metadata.shards
        buckets = UnsafeMutableRawPointer(metadata.buckets)
            .bindMemory(to: LeafID.self, capacity: metadata.bucketsPerShard * AccessMap.shardCount)
        bucketMask = UInt64(metadata.bucketsPerShard - 1)
    }

    /// What a failed sync of the image would lose.
    @inline(__always)
    var risk: SyncRisk { SyncRisk(at: riskRecord, dirtyLimit: ledger.dirtyLimit) }

    /// Where a chunk is in the table, as a hash: computed once for all its pages.
    struct ChunkHash {
        let value: UInt64

        /// The number of its shard.
        @inline(__always)
        var shard: Int { Int(truncatingIfNeeded: value & UInt64(AccessMap.shardCount - 1)) }
    }

    /// The hash of the chunk that `page` lies in: a well-mixed number (the finalizer of splitmix64, by Vigna).
    @inline(__always)
    func chunkHash(of page: UInt64) -> ChunkHash {
        var x = (UInt64(image) &<< 48 | page &>> 8) &+ 0x9E37_79B9_7F4A_7C15
        x = (x ^ x &>> 30) &* 0xBF58_476D_1CE4_E5B9
        x = (x ^ x &>> 27) &* 0x94D0_49BB_1331_11EB
        return ChunkHash(value: x ^ x &>> 31)
    }

    /// The shard of a chunk.
    @inline(__always)
    func shard(at hash: ChunkHash) -> UnsafeMutablePointer<Shard> {
        shards + hash.shard
    }

    /// The shard of the chunk that `page` lies in.
    @inline(__always)
    func shard(of page: UInt64) -> UnsafeMutablePointer<Shard> { shard(at: chunkHash(of: page)) }

    /// Asks for the bucket of `page` to be near by when its shard's lock has been taken.
    @inline(__always)
    func prefetch(_ page: UInt64, at hash: ChunkHash) {
        flexpage_prefetch(bucket(of: page, at: hash))
        flexpage_prefetch(leaves[home(of: page, at: hash)])
    }

    /// Where the leaf of `page` is, most likely.
    @inline(__always)
    private func home(of page: UInt64, at hash: ChunkHash) -> LeafID {
        leaves.home(chunk: hash.value, page &>> 3 & UInt64(Chunk.pages / Leaf.pages - 1))
    }

    @inline(__always)
    private func bucket(of page: UInt64, at hash: ChunkHash) -> UnsafeMutablePointer<LeafID> {
        let shard = hash.value & UInt64(AccessMap.shardCount - 1)
        // The leaves of a chunk follow one another, so a sequential reader walks along a cache line of buckets.
        let index = (hash.value &>> AccessMap.shardBits &+ page &>> 3) & bucketMask
        return buckets + Int(truncatingIfNeeded: shard &* (bucketMask &+ 1) &+ index)
    }

    @inline(__always)
    private func bucket(of page: UInt64) -> UnsafeMutablePointer<LeafID> { bucket(of: page, at: chunkHash(of: page)) }

    /// The leaf that holds `page`, or nil where none of its eight pages is covered.
    @inline(__always)
    func leaf(of page: UInt64) -> UnsafeMutablePointer<Leaf>? { leaf(of: page, at: chunkHash(of: page)) }

    /// The same, where the hash of the page's chunk is known.
    @inline(__always)
    func leaf(of page: UInt64, at hash: ChunkHash) -> UnsafeMutablePointer<Leaf>? {
        let key = Leaf.key(of: PageKey(image: image, page: page))
        var id = bucket(of: page, at: hash).pointee
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
    func flexpage(at page: UInt64) -> FlexpageID { flexpage(at: page, chunkHash(of: page)) }

    /// The same, where the hash of the page's chunk is known.
    @inline(__always)
    func flexpage(at page: UInt64, _ hash: ChunkHash) -> FlexpageID {
        guard let leaf = leaf(of: page, at: hash) else { return .none }
        return leaf.pointee.flexpages[Int(page & 7)]
    }

    /// Whether no flexpage covers any of `pages`, which lie in one chunk.
    func isVacant(_ pages: Range<UInt64>) -> Bool {
        var page = pages.lowerBound
        while page < pages.upperBound {
            let next = min((page | 7) + 1, pages.upperBound)
            if let leaf = leaf(of: page) {
                for index in Int(page & 7)..<(Int((next - 1) & 7) + 1)
                where leaf.pointee.flexpages[index] != FlexpageID.none {
                    return false
                }
            }
            page = next
        }
        return true
    }

    /// Records that flexpage `id` covers its range, which is vacant (invariant 1), and is no longer known to be zeroes.
    func insert(_ id: FlexpageID) {
        assert(isVacant(table[id].covered), "flexpages must not overlap")
        forgetZeroes(in: table[id].covered)
        forEachLeaf(of: id, making: true) { leaf, indices in
            for index in indices { leaf.pointee.flexpages[index] = id }
        }
    }

    /// Records that flexpage `id` covers its range, where another one covered it that has been split.
    func rename(_ id: FlexpageID) {
        forEachLeaf(of: id, making: false) { leaf, indices in
            for index in indices { leaf.pointee.flexpages[index] = id }
        }
    }

    /// Records that flexpage `id` covers nothing any more. Leaves left empty are given back.
    func remove(_ id: FlexpageID) {
        var vacated = table[id].covered
        forEachLeaf(of: id, making: false) { leaf, indices in
            for index in indices {
                assert(leaf.pointee.flexpages[index] == id, "a flexpage is where it was put")
                leaf.pointee.flexpages[index] = .none
            }
            forgetUnsynced(leaf, Leaf.bits(indices))
            ledger.pagesDropped(leaves.id(of: leaf))
        }
        while !vacated.isEmpty {
            giveLeafBackIfEmpty(at: vacated.lowerBound)
            vacated = min((vacated.lowerBound | 7) + 1, vacated.upperBound)..<vacated.upperBound
        }
    }

    /// The leaf's pages in `bits` leave the cache: what was written out of them and is not durable would be lost with a
    /// failed sync.
    func forgetUnsynced(_ leaf: UnsafeMutablePointer<Leaf>, _ bits: UInt8) {
        guard leaf.pointee.unsynced & bits != 0 else { return }
        risk.countUnsynced(-(leaf.pointee.unsynced & bits).nonzeroBitCount)
        leaf.pointee.unsynced &= ~bits
        risk.countAtRisk()
    }

    /// Calls `body` with each leaf of flexpage `id` and the indices that the flexpage has in it.
    @inline(__always)
    private func forEachLeaf(
        of id: FlexpageID, making: Bool, _ body: (UnsafeMutablePointer<Leaf>, Range<Int>) -> Void
    ) {
        let covered = table[id].covered
        var page = covered.lowerBound
        while page < covered.upperBound {
            let next = min((page | 7) + 1, covered.upperBound)
            let leaf = leaf(of: page) ?? (making ? makeLeaf(at: page) : nil)
            body(leaf!, Int(page & 7)..<(Int((next - 1) & 7) + 1))
            page = next
        }
    }

    private func makeLeaf(at page: UInt64) -> UnsafeMutablePointer<Leaf> {
        let bucket = bucket(of: page)
        let id = leaves.take(
            key: Leaf.key(of: PageKey(image: image, page: page)), home: home(of: page, at: chunkHash(of: page)))
        leaves[id].pointee.next = bucket.pointee
        bucket.pointee = id
        return leaves[id]
    }

    private func giveLeafBackIfEmpty(at page: UInt64) {
        let key = Leaf.key(of: PageKey(image: image, page: page))
        var link = bucket(of: page)
        while link.pointee != .none {
            let id = link.pointee
            let leaf = leaves[id]
            if leaf.pointee.key == key {
                guard leaf.isEmpty else { return }
                assert(leaf.pointee.dirty | leaf.pointee.writing == 0, "dirty pages are not dropped by the way")
                assert(leaf.pointee.status.list == .none, "an empty leaf is on no list")
                link.pointee = leaf.pointee.next
                leaves.give(id)
                return
            }
            link = UnsafeMutableRawPointer(leaf)
                .advanced(by: MemoryLayout<Leaf>.offset(of: \.next)!)
                .assumingMemoryBound(to: LeafID.self)
        }
    }

    /// Calls `body` with every leaf of every image in shard `index`, whose lock is held. O(buckets + leaves).
    func forEachLeaf(inShard index: Int, _ body: (LeafID, UnsafeMutablePointer<Leaf>) -> Void) {
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

    /// The first flexpage of this image in shard `index`, whose lock is held, that `condition` holds for, in or after
    /// `bucket`, which becomes the one it is in. O(buckets + leaves) for all of them together.
    func firstFlexpage(
        inShard index: Int, from bucket: inout Int, where condition: (FlexpageID) -> Bool
    ) -> FlexpageID? {
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
