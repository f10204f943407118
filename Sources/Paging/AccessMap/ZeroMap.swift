/// Which base pages of the images are known to be zeroes without being resident: a hint, which can be dropped at any
/// time.
///
/// A base page that is all zeroes, whether it is a hole or was read, takes no Region: it takes a bit here, in the
/// record of its chunk. Records are as many as Metadata has room for, whatever the images' sizes: each chunk has a set
/// of four that its record must be in, and the one that was not used for longest gives way. So a sparse image of any
/// size can be read end to end.
///
/// A bit means: no flexpage covers the page, and the image holds zeroes there. Both change only under the lock of the
/// chunk's shard, which everything here wants held: a flexpage that comes takes the bits of its pages away
/// (`AccessMap.insert`), so nothing can be written and be zeroes still (invariant 10).
///
/// Costs: looking a chunk up is one cache line if it has no record, two if it has; hits never come here.
struct ZeroMap: @unchecked Sendable {
    /// The chunks that share four records.
    struct Group {
        /// Image and chunk of each record, and `inUse`; 0 where there is no record.
        var keys: InlineArray<4, UInt64>
        /// When each was used last, by a clock that ticks with each use.
        var usedAt: InlineArray<4, UInt32>
        /// The marked page of each, see `mark`, by its number in the chunk; `noMark` where there is none.
        var marks: InlineArray<4, UInt16>
        var clock: UInt32
        var pages: InlineArray<4, PageSet>
    }

    /// Records in a group.
    static let ways = 4
    private static let inUse: UInt64 = 1 << 63
    private static let noMark = UInt16.max

    private let groups: UnsafeMutablePointer<Group>
    private let groupsPerShard: Int

    init(_ metadata: borrowing Metadata) {
        groups = metadata.zeroGroups
        groupsPerShard = metadata.zeroGroupsPerShard
    }

    /// The groups of a shard for so many frames: some 0.15 % of the pages' bytes.
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

    private func group(_ hash: AccessMap.ChunkHash) -> UnsafeMutablePointer<Group> {
        let spread = (hash.value >> 32) &* UInt64(groupsPerShard)
        return groups + hash.shard * groupsPerShard + Int(spread >> 32)
    }

    private static func key(_ key: PageKey) -> UInt64 { inUse | UInt64(key.image) << 40 | key.page >> 8 }

    /// The record of the chunk of `key`, or nil where nothing is known of it.
    func record(of key: PageKey, at hash: AccessMap.ChunkHash) -> Record? {
        let group = group(hash)
        let key = ZeroMap.key(key)
        for way in 0..<ZeroMap.ways where group.pointee.keys[way] == key { return Record(group: group, way: way) }
        return nil
    }

    /// Takes an empty record for the chunk of `key`, which has none: one that is free, else the one that was not used
    /// for longest, which is forgotten.
    /// - Returns: The record, and how many known zeroes were forgotten.
    func makeRecord(of key: PageKey, at hash: AccessMap.ChunkHash) -> (Record, forgotten: Int) {
        let group = group(hash)
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
        group.pointee.keys[victim] = ZeroMap.key(key)
        group.pointee.pages[victim] = PageSet()
        group.pointee.marks[victim] = ZeroMap.noMark
        return (Record(group: group, way: victim), forgotten)
    }

    /// Notes that the record is of use.
    func touch(_ record: Record) {
        record.group.pointee.clock &+= 1
        record.group.pointee.usedAt[record.way] = record.group.pointee.clock
    }

    /// Frees the record.
    func remove(_ record: Record) { record.group.pointee.keys[record.way] = 0 }

    /// Whoever comes to `page`, which the record has, is to be told of: it is where reading ahead goes on.
    func setMark(_ page: UInt64, in record: Record) {
        record.group.pointee.marks[record.way] = UInt16(page & UInt64(Chunk.pages - 1))
    }

    /// Takes the mark off, if one of `pages` has it.
    /// - Returns: The page that had it.
    func takeMark(in pages: Range<UInt64>, of record: Record) -> UInt64? {
        let mark = record.group.pointee.marks[record.way]
        guard mark != ZeroMap.noMark else { return nil }
        let page = pages.lowerBound & ~UInt64(Chunk.pages - 1) | UInt64(mark)
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
                let page = (key & 0xFF_FFFF_FFFF) << 8
                body(Record(group: group, way: way), PageKey(image: UInt16(key >> 40), page: page))
            }
        }
    }
}
