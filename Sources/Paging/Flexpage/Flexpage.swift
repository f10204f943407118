/// A populated piece of an image, aligned to its size: its offset and its size. Its index in the FlexpageTable gives
/// its Region.
///
/// A flexpage is known by the number of its Region's first frame (a FlexpageID). So one record for each frame is enough
/// for any mix of sizes, and arithmetic leads from a flexpage to its Region. What a hit needs is in the FlexpageWord.
///
/// Thread rules: `key` and `order` are written before the flexpage is inserted into the AccessMap, and stay until it
/// has been removed. The links belong to the PageQueue, under its lock.
struct Flexpage: ~Copyable {
    /// The image and the number of its first base page.
    var key: PageKey
    var previous: FlexpageID
    var next: FlexpageID
    var order: UInt8
    /// The queue that the flexpage is on; `.none` if no queued flexpage begins with this frame. Under the PageQueue's
    /// lock.
    var queue: PageQueue.Name
}

// The pointer answers these, because a question to the record would read all of it, the links of the queue too.
extension UnsafeMutablePointer<Flexpage> {
    /// Base pages in it.
    @inline(__always)
    var pages: UInt64 { 1 &<< UInt64(pointee.order) }

    /// The base pages it covers.
    @inline(__always)
    var covered: Range<UInt64> { pointee.key.page..<(pointee.key.page &+ pages) }
}
