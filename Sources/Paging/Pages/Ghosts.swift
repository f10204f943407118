/// The ghost queue of the PageQueue: base pages that were recycled of late without having been used twice.
///
/// A set-associative table of fingerprints with the time of their recycling (counted in base pages recycled), as
/// S3-FIFO's authors suggest: no links, nothing to allocate; a full bucket forgets its oldest entry. An entry counts as
/// long as not more than `capacity` base pages were recycled after it. Two pages share a fingerprint with a chance of
/// 2⁻³² an entry looked at: the price is one page put into the wrong queue.
///
/// Under the PageQueue's lock. O(1).
struct Ghosts {
    private let entries: UnsafeMutablePointer<GhostEntry>
    private let buckets: UInt64
    /// How many recyclings an entry outlives.
    let capacity: UInt32
    private var now: UInt32 = 0

    static let entriesPerBucket = 8

    /// Buckets for an arena of `frames` frames: room for half as many entries, and half as many again because buckets
    /// do not fill evenly.
    static func buckets(frames: Int) -> Int { max(1, frames * 3 / 4 / entriesPerBucket) }

    init(_ metadata: borrowing Metadata) {
        entries = metadata.ghosts
        buckets = UInt64(metadata.ghostBuckets)
        capacity = UInt32(max(1, metadata.frames / 2))
    }

    @inline(__always)
    private func slot(of key: PageKey) -> (bucket: UnsafeMutablePointer<GhostEntry>, fingerprint: UInt32) {
        let hash = (key.raw ^ key.raw &>> 29) &* 0x9E37_79B9_7F4A_7C15
        let mixed = hash ^ hash &>> 32
        let bucket = ((mixed & 0xFFFF_FFFF) &* buckets) &>> 32
        // Never 0: that is an empty entry.
        return (entries + Int(bucket) * Ghosts.entriesPerBucket, UInt32(truncatingIfNeeded: hash &>> 32) | 1)
    }

    /// Remembers that the base page has been recycled.
    mutating func insert(_ key: PageKey) {
        now &+= 1
        let (bucket, fingerprint) = slot(of: key)
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

    /// Whether the base page was recycled of late; forgets it.
    mutating func remove(_ key: PageKey) -> Bool {
        let (bucket, fingerprint) = slot(of: key)
        for index in 0..<Ghosts.entriesPerBucket where bucket[index].fingerprint == fingerprint {
            let age = now &- bucket[index].recycledAt
            bucket[index].fingerprint = 0
            return age < capacity
        }
        return false
    }
}
