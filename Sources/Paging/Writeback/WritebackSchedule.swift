/// Of one image: when what is due, for the watch of the Writeback.
///
/// One thread's own: the watch's. All times are milliseconds of the monotonic clock.
struct WritebackSchedule {
    /// Which opening of an image this is about.
    let opening: UInt64
    /// When epochs ended.
    var epochs = EpochHistory()
    /// When what could not be written out is to be tried again, and the flushes that clients have left behind.
    var nextRetry = 0
    /// When the Writeback may sync by itself again, after a sync that failed.
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
