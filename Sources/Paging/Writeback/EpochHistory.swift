/// When the epochs of an image ended, coarsely: enough to know which dirty pages are older than a given age.
///
/// Thread rules: used by one thread at a time, the one that looks after the image.
struct EpochHistory {
    private var entries = InlineArray<32, Entry>(repeating: Entry())
    private var count = 0

    private struct Entry {
        var epoch: UInt32 = 0
        var endedAt = 0
    }

    /// Notes that `epoch` ended at `time` (milliseconds), unless the last epoch noted ended less than a sixteenth of
    /// `age` earlier.
    /// - Parameter time: Not before that of the last call.
    mutating func note(_ epoch: UInt32, at time: Int, age: Int) {
        assert(count == 0 || time >= entries[(count - 1) % 32].endedAt, "time does not go backwards")
        if count > 0, time - entries[(count - 1) % 32].endedAt < age / 16 { return }
        entries[count % 32] = Entry(epoch: epoch, endedAt: time)
        count += 1
    }

    /// When `epoch` had ended: when the first noted epoch that is not earlier ended. Nil if none of that kind is noted.
    func end(of epoch: UInt32) -> Int? {
        for index in max(0, count - 32)..<count where !Ledger.isLater(epoch, than: entries[index % 32].epoch) {
            return entries[index % 32].endedAt
        }
        return nil
    }

    /// The latest noted epoch that ended at `time` or before, or nil.
    func latest(endedBy time: Int) -> UInt32? {
        for back in 0..<min(count, 32) {
            let entry = entries[(count - 1 - back) % 32]
            if entry.endedAt <= time { return entry.epoch }
        }
        return nil
    }
}
