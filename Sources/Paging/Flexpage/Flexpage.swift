/// A populated, size-aligned piece of an image: its offset, its size and, by its place in the FlexpageTable, its
/// Region.
///
/// A flexpage is known by the number of its Region's first frame (a FlexpageID), so that a record a frame is enough for
/// any mix of sizes, and a Region is found from its flexpage by arithmetic. What a hit needs of it is not here but in
/// its FlexpageWord.
///
/// Who may touch what: `key` and `order` are written before the flexpage is published in the AccessMap and stay until
/// it has been taken out. The queue's links are the PageQueue's, under its lock.
struct Flexpage: ~Copyable {
    /// The image and the number of its first base page.
    var key: PageKey
    var previous: FlexpageID
    var next: FlexpageID
    var order: UInt8
    /// The queue it is on; `.none` of a frame with which no queued flexpage begins. Under the PageQueue's lock.
    var queue: PageQueue.Name
}

// Asked of the pointer, because asking the record would read the whole of it, the queue's links too.
extension UnsafeMutablePointer<Flexpage> {
    /// Base pages in it.
    @inline(__always)
    var pages: UInt64 { 1 &<< UInt64(pointee.order) }

    /// The base pages it covers.
    @inline(__always)
    var covered: Range<UInt64> { pointee.key.page..<(pointee.key.page &+ pages) }
}
