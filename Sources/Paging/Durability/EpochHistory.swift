/// When the epochs of an image ended, coarsely: enough to know which dirty pages are older than an age.
///
/// One thread's own: the watch of the Writeback.
struct EpochHistory {
    private var entries = InlineArray<32, Entry>(repeating: Entry())
    private var count = 0

    private struct Entry {
        var epoch: UInt32 = 0
        var endedAt = 0
    }

    /// Notes that `epoch` ended at `time`, milliseconds, unless one that ended less than a sixteenth of `age` before is
    /// noted already.
    mutating func note(_ epoch: UInt32, at time: Int, age: Int) {
        if count > 0, time - entries[(count - 1) % 32].endedAt < age / 16 { return }
        entries[count % 32] = Entry(epoch: epoch, endedAt: time)
        count += 1
    }

    /// The latest epoch noted that ended at `time` or before, or nil.
    func latest(endedBy time: Int) -> UInt32? {
        for back in 0..<min(count, 32) {
            let entry = entries[(count - 1 - back) % 32]
            if entry.endedAt <= time { return entry.epoch }
        }
        return nil
    }
}
