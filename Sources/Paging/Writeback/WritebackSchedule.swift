/// Of one image: what the watch of the Writeback knows about it, and when it acts next.
///
/// Thread rules: used by the watch only. All times are milliseconds of the monotonic clock.
struct WritebackSchedule {
    /// The opening of the image that this is about (`Provider.opening`).
    let opening: UInt64
    /// When epochs ended.
    var epochs = EpochHistory()
    /// When to try again what could not be written out, and flushes that clients have left behind.
    var nextRetry = 0
    /// When the Writeback may sync again by itself after a sync that failed.
    var nextSync = 0

    init(opening: UInt64) { self.opening = opening }
}

extension [WritebackSchedule] {
    /// The index of the schedule of the image with number `image`. It is a new schedule if the image has been opened
    /// since the last call: another image may have had the number before.
    mutating func index(of image: UInt16, opening: UInt64) -> Int {
        assert(opening > 0, "openings are counted from 1")
        let index = Int(image)
        while count <= index { append(WritebackSchedule(opening: 0)) }
        if self[index].opening != opening { self[index] = WritebackSchedule(opening: opening) }
        return index
    }
}
