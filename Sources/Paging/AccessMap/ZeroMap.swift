/// Which base pages of the images are known to be zeroes without being resident: a hint, which may be forgotten at any
/// time.
///
/// A base page that is all zeroes takes no Region, whether it is a hole or was read. It takes a bit here, in the record
/// of its chunk. There are as many records as Metadata has room for, whatever the images' sizes. A chunk's record is
/// one of a group of four, and the least recently used of them gives way. So a sparse image of any size can be read end
/// to end.
///
/// A bit means: no flexpage covers the page, and the image holds zeroes there. Both change only under the lock of the
/// chunk's shard. `AccessMap.insert` takes away the bits of the flexpage's pages. So no page can be written and still
/// count as zeroes (invariant 10).
///
/// Thread rules: everything here wants the lock of the chunk's shard. Only the AccessMap calls it.
///
/// Costs: looking a chunk up is one cache line if it has no record, two if it has; hits never come here.
struct ZeroMap: @unchecked Sendable {
    /// The chunks that share four records.
    struct Group {
        /// Image and chunk of each record, and `inUse`; 0 if there is no record.
        var keys: InlineArray<4, UInt64>
        /// When each was last used, by a clock that ticks with each use.
        var usedAt: InlineArray<4, UInt32>
        /// The marked page of each, see `setMark`, by its number in the chunk; `noMark` if there is none.
        var marks: InlineArray<4, UInt16>
        var clock: UInt32
        var pages: InlineArray<4, PageSet>
    }

    /// Records in a group.
    static let ways = 4
    private static let inUse: UInt64 = 1 << 63
    /// Bits of the number of a chunk.
    private static let chunkBits = PageKey.pageBits - Chunk.shift
    private static let noMark = UInt16.max

    private let groups: UnsafeMutablePointer<Group>
    private let groupsPerShard: Int

    init(_ metadata: borrowing Metadata) {
        groups = metadata.zeroGroups
        groupsPerShard = metadata.zeroGroupsPerShard
    }

    /// The groups of a shard if there are `frames` frames: some 0.15 % of the pages' bytes.
    static func groupsPerShard(frames: Int) -> Int { max(1, frames / (32 * AccessMap.shardCount)) }

    /// A record, until the next one is made or the lock is given up.
    struct Record {
        fileprivate let group: UnsafeMutablePointer<Group>
        fileprivate let way: Int

        var pages: PageSet {
            get { group.pointee.pages[way] }
            nonmutating set { group.pointee.pages[way] = newValue }
        }
    }

    private func group(of chunk: HashedChunk) -> UnsafeMutablePointer<Group> {
        let spread = (chunk.hash >> 32) &* UInt64(groupsPerShard)
        return groups + chunk.shardIndex * groupsPerShard + Int(spread >> 32)
    }

    /// The key of the chunk's record.
    private static func key(of chunk: HashedChunk, image: UInt16) -> UInt64 {
        inUse | UInt64(image) << chunkBits | chunk.firstPage >> Chunk.shift
    }

    /// The record of the chunk, or nil if nothing is known of it.
    func record(of chunk: HashedChunk, image: UInt16) -> Record? {
        let group = group(of: chunk)
        let key = ZeroMap.key(of: chunk, image: image)
        for way in 0..<ZeroMap.ways where group.pointee.keys[way] == key { return Record(group: group, way: way) }
        return nil
    }

    /// Takes an empty record for the chunk, which has none: a free one, or if there is none the least recently used,
    /// which is forgotten.
    /// - Returns: The record, and how many known zeroes were forgotten.
    func makeRecord(of chunk: HashedChunk, image: UInt16) -> (Record, forgotten: Int) {
        assert(record(of: chunk, image: image) == nil, "a chunk has one record")
        let group = group(of: chunk)
        var victim = 0
        for way in 0..<ZeroMap.ways {
            if group.pointee.keys[way] == 0 {
                victim = way
                break
            }
            let age = group.pointee.clock &- group.pointee.usedAt[way]
            if age > group.pointee.clock &- group.pointee.usedAt[victim] { victim = way }
        }
        let forgotten = group.pointee.keys[victim] == 0 ? 0 : group.pointee.pages[victim].count
        group.pointee.keys[victim] = ZeroMap.key(of: chunk, image: image)
        group.pointee.pages[victim] = PageSet()
        group.pointee.marks[victim] = ZeroMap.noMark
        return (Record(group: group, way: victim), forgotten)
    }

    /// Notes that the record has been used.
    func touch(_ record: Record) {
        record.group.pointee.clock &+= 1
        record.group.pointee.usedAt[record.way] = record.group.pointee.clock
    }

    /// Frees the record.
    func remove(_ record: Record) { record.group.pointee.keys[record.way] = 0 }

    /// Marks `page`, which the record has: reading ahead goes on when a client comes to it.
    func setMark(_ page: UInt64, in record: Record) {
        assert(record.pages.contains(page), "only a known zero is marked")
        record.group.pointee.marks[record.way] = UInt16(Chunk.index(of: page))
    }

    /// Takes the mark off, if one of `pages` has it.
    /// - Returns: The page that had it.
    func takeMark(in pages: Range<UInt64>, of record: Record) -> UInt64? {
        let mark = record.group.pointee.marks[record.way]
        guard mark != ZeroMap.noMark else { return nil }
        let page = Chunk.firstPage(of: pages.lowerBound) | UInt64(mark)
        guard pages.contains(page) else { return nil }
        record.group.pointee.marks[record.way] = ZeroMap.noMark
        return page
    }

    /// Calls `body` with each record of shard `shard`, its image and the first page of its chunk. O(records).
    func forEachRecord(inShard shard: Int, _ body: (Record, PageKey) -> Void) {
        for index in shard * groupsPerShard..<(shard + 1) * groupsPerShard {
            let group = groups + index
            for way in 0..<ZeroMap.ways where group.pointee.keys[way] != 0 {
                let key = group.pointee.keys[way] & ~ZeroMap.inUse
                let page = (key & (1 << ZeroMap.chunkBits - 1)) << Chunk.shift
                body(Record(group: group, way: way), PageKey(image: UInt16(key >> ZeroMap.chunkBits), page: page))
            }
        }
    }
}
