/// The ghost queue of the PageQueue: base pages that were recycled recently from probation, so without a counted hit.
///
/// It is a set-associative table of fingerprints, each with the time of its recycling, counted in base pages recycled.
/// S3-FIFO's authors suggest this: there are no links, and nothing to allocate. A full bucket forgets its oldest entry.
/// An entry counts until `capacity` base pages have been recycled after it. The chance that an entry looked at has the
/// fingerprint of another page is 2⁻³². The price is one page in the wrong queue.
///
/// Thread rules: under the PageQueue's lock. O(1).
struct Ghosts {
    private let entries: UnsafeMutablePointer<GhostEntry>
    private let buckets: UInt64
    /// The number of recyclings for which an entry counts.
    private(set) var capacity: UInt32
    private var now: UInt32 = 0

    static let entriesPerBucket = 8

    /// Buckets for an arena of `frames` frames: room for half as many entries, and half of that again because buckets
    /// do not fill evenly.
    static func buckets(frames: Int) -> Int { max(1, frames * 3 / 4 / entriesPerBucket) }

    init(_ metadata: borrowing Metadata) { self.init(QueueTables(metadata)) }

    init(_ tables: QueueTables) {
        entries = tables.ghosts
        buckets = UInt64(tables.ghostBuckets)
        capacity = Ghosts.capacity(frames: tables.frames)
    }

    private static func capacity(frames: Int) -> UInt32 { UInt32(max(1, frames / 2)) }

    /// There are `frames` frames now, at most as many as at first.
    mutating func setFrames(_ frames: Int) { capacity = Ghosts.capacity(frames: frames) }

    /// - Parameter generation: Of the image's number. A number's next image does not find the ghosts of the last one.
    @inline(__always)
    private func slot(of key: PageKey, _ generation: UInt32) -> (
        bucket: UnsafeMutablePointer<GhostEntry>, fingerprint: UInt32
    ) {
        let raw = key.raw ^ UInt64(generation & 0xFF) &<< (PageKey.pageBits - 8)
        let hash = (raw ^ raw &>> 29) &* 0x9E37_79B9_7F4A_7C15
        let mixed = hash ^ hash &>> 32
        let bucket = ((mixed & 0xFFFF_FFFF) &* buckets) &>> 32
        // Never 0: that is an empty entry.
        return (entries + Int(bucket) * Ghosts.entriesPerBucket, UInt32(truncatingIfNeeded: hash &>> 32) | 1)
    }

    /// Remembers that the base page has been recycled.
    mutating func insert(_ key: PageKey, _ generation: UInt32) {
        now &+= 1
        let (bucket, fingerprint) = slot(of: key, generation)
        var oldest = 0
        for index in 0..<Ghosts.entriesPerBucket {
            if bucket[index].fingerprint == 0 || bucket[index].fingerprint == fingerprint {
                oldest = index
                break
            }
            if now &- bucket[index].recycledAt > now &- bucket[oldest].recycledAt { oldest = index }
        }
        bucket[oldest] = GhostEntry(fingerprint: fingerprint, recycledAt: now)
    }

    /// Whether the base page was recycled recently; forgets it.
    mutating func remove(_ key: PageKey, _ generation: UInt32) -> Bool {
        let (bucket, fingerprint) = slot(of: key, generation)
        for index in 0..<Ghosts.entriesPerBucket where bucket[index].fingerprint == fingerprint {
            let age = now &- bucket[index].recycledAt
            bucket[index].fingerprint = 0
            return age < capacity
        }
        return false
    }
}
