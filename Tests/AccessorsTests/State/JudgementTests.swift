import CStateFormat
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import Accessors
@testable import Paging

/// Whose the last change of an image is.
@Suite("Judging images that a dead server has left", .enabled(if: StateRig.isAvailable, "\(StateRig.needs)"))
struct JudgementTests {
    private let rig: StateRig
    private let second: UInt64 = 1_000_000_000
    private let alive: UInt64 = 1_800_000_000_000_000_001
    private let stamp = ImageStamp(size: 8192, modified: 1_799_000_000_000_000_001, changed: 1_799_000_000_000_000_001)

    init() throws { rig = try StateRig() }

    private var record: KeptImage { rig.state.image(0) }

    /// A file that was stamped after five writes.
    private func file() -> KeptJudgement.Sight {
        record.record.pointee = flexpage_state_image()
        record.record.pointee.in_use = 1
        (record.record.pointee.device, record.record.pointee.inode, record.record.pointee.birth) = (1, 2, 3)
        record.record.pointee.size = 8192
        stamp.keep(in: &record.record.pointee)
        record.record.pointee.is_stamped = 1
        record.record.pointee.writes_begun = 5
        record.record.pointee.writes_ended = 5
        record.record.pointee.writes_when_stamped = 5
        return KeptJudgement.Sight(
            identity: ImageIdentity(device: 1, inode: 2, birth: 3), size: 8192, stamp: stamp)
    }

    private func device() -> KeptJudgement.Sight {
        _ = file()
        record.record.pointee.is_block_device = 1
        (record.record.pointee.inode, record.record.pointee.birth) = (0, 0)
        record.record.pointee.disk_sequence = 17
        return KeptJudgement.Sight(
            identity: ImageIdentity(device: 1, inode: 0), isBlockDevice: true, size: 8192, diskSequence: 17)
    }

    private func judge(_ sight: KeptJudgement.Sight, owedEnd: Int64 = 0, alive: UInt64? = nil) -> String {
        switch KeptJudgement(record, owedEnd: owedEnd, alive: alive ?? self.alive, sight) {
        case .same: return "same"
        case .untold(let reason): return expectReason(reason, "untold")
        case .changed(let reason): return expectReason(reason, "changed")
        case .other(let reason): return expectReason(reason, "other")
        }
    }

    private func expectReason(_ reason: String, _ kind: String) -> String {
        #expect(!reason.isEmpty && !reason.hasSuffix("."))
        return kind
    }

    private func stamp(_ time: UInt64, modified: UInt64? = nil, size: UInt64 = 8192) -> ImageStamp {
        ImageStamp(size: size, modified: Int64(modified ?? time), changed: Int64(time))
    }

    /// Another file is another image, whatever else agrees.
    @Test func others() {
        var sight = file()
        sight.identity = ImageIdentity(device: 1, inode: 4, birth: 3)
        #expect(judge(sight) == "other")
        sight = file()
        sight.identity = ImageIdentity(device: 1, inode: 2, birth: 4)
        #expect(judge(sight) == "other")
        sight = file()
        sight.isBlockDevice = true
        #expect(judge(sight) == "other")
        // A filesystem that was mounted anew, or a copy of it.
        sight = file()
        sight.identity = ImageIdentity(device: 9, inode: 2, birth: 3)
        #expect(judge(sight) == "changed")
        sight = file()
        record.record.pointee.birth = 0
        sight.identity = ImageIdentity(device: 9, inode: 2)
        #expect(judge(sight) == "other")
        sight = file()
        sight.isLocked = true
        #expect(judge(sight) == "changed")
    }

    /// A file that has grown is the same image. If it may have grown while the server was alive, it gets what it is
    /// owed.
    @Test func larger() {
        func judgement(_ stamp: ImageStamp?, _ change: (inout KeptJudgement.Sight) -> Void = { _ in }) -> String {
            var sight = file()
            sight.size = 8193
            sight.stamp = stamp
            change(&sight)
            return judge(sight, owedEnd: 8192)
        }
        #expect(judgement(stamp(alive + second, size: 8193)) == "untold")
        #expect(judgement(stamp(alive + second + 1, size: 8193)) == "changed")
        #expect(judgement(nil) == "changed")
        #expect(judgement(stamp(alive - alive % second, size: 8193)) == "changed")
        #expect(judgement(stamp(alive, size: 8193)) { $0.tellsChanges = false } == "changed")
        #expect(judgement(stamp(alive, size: 8193)) { $0.hasForeignClock = true } == "changed")
        #expect(judgement(stamp(alive, size: 8193)) { $0.isLocked = true } == "changed")
        #expect(judgement(stamp(1_798_000_000_000_000_001, size: 8193)) == "changed")
        var disk = device()
        disk.size = 8193
        #expect(judge(disk, owedEnd: 8192) == "untold")
    }

    /// One that has lost its end gets nothing by itself, and never what is owed beyond it.
    @Test func smaller() {
        for sight in [file(), device()] {
            _ = sight.isBlockDevice ? device() : file()
            var sight = sight
            sight.size = 8191
            #expect(judge(sight, owedEnd: 8191) == "changed")
            #expect(judge(sight, owedEnd: 8192) == "other")
        }
    }

    /// With no write since the stamp, every difference is foreign.
    @Test func stamped() {
        #expect(judge(file()) == "same")
        for other in [
            stamp(alive), stamp(1_799_000_000_000_000_001, modified: 5), stamp(1_799_000_000_000_000_001, size: 8191),
            stamp(1_798_000_000_000_000_001),
        ] {
            var sight = file()
            sight.stamp = other
            #expect(judge(sight) == "changed")
        }
    }

    /// With writes since, under way or ended, times up to a second after the server's last sign of life are its own.
    @Test(arguments: [(6, 6), (6, 5), (7, 5)]) func written(begun: UInt64, ended: UInt64) {
        func judgement(_ stamp: ImageStamp) -> String {
            var sight = file()
            record.record.pointee.writes_begun = begun
            record.record.pointee.writes_ended = ended
            sight.stamp = stamp
            return judge(sight)
        }
        #expect(judgement(stamp(alive)) == "same")
        #expect(judgement(stamp(alive - 100 * second)) == "same")
        #expect(judgement(stamp(alive + second)) == "same")
        #expect(judgement(stamp(alive + second + 1)) == "changed")
        #expect(judgement(stamp(alive, modified: alive + 2 * second)) == "changed")
        // The time of modification can be set back.
        #expect(judgement(stamp(alive + 2 * second, modified: alive)) == "changed")
    }

    /// A filesystem was rolled back: the last change is older than what the server has seen. If the clock was set back
    /// instead, the server's last sign of life is older, too.
    @Test func rolledBack() {
        var sight = file()
        record.record.pointee.writes_begun = 6
        sight.stamp = stamp(1_798_000_000_000_000_001)
        #expect(judge(sight) == "changed")
        // The time of modification can be set.
        sight.stamp = stamp(1_799_500_000_000_000_001, modified: 5)
        #expect(judge(sight) == "same")
        sight.stamp = stamp(1_798_000_000_000_000_001)
        #expect(judge(sight, alive: 1_798_000_000_000_000_002) == "same")
        record.record.pointee.is_stamped = 0
        #expect(judge(sight) == "untold")
    }

    /// An image that was never stamped: what was read of it may be stale.
    @Test func unstamped() {
        var sight = file()
        record.record.pointee.is_stamped = 0
        #expect(judge(sight) == "untold")
        sight.stamp = stamp(alive + 2 * second)
        #expect(judge(sight) == "changed")
    }

    /// Where times prove nothing, nothing is said.
    @Test func withoutTimes() {
        var sight = file()
        sight.tellsChanges = false
        #expect(judge(sight) == "untold")
        sight = file()
        sight.stamp = nil
        #expect(judge(sight) == "untold")
        sight.stamp = stamp(1_799_000_000_000_000_000)
        #expect(judge(sight) == "untold")
        sight = file()
        sight.hasForeignClock = true
        #expect(judge(sight) == "same", "no clock is asked if nothing has been written")
        record.record.pointee.writes_begun = 6
        sight.stamp = stamp(alive + 100 * second)
        #expect(judge(sight) == "untold")
    }

    /// A disk is the same as long as it stays attached. What others write there cannot be seen.
    @Test func devices() {
        #expect(judge(device()) == "untold")
        var sight = device()
        sight.diskSequence = 18
        #expect(judge(sight) == "other")
        sight = device()
        sight.identity = ImageIdentity(device: 2, inode: 0)
        #expect(judge(sight) == "other")
        sight = device()
        sight.size = 4096
        #expect(judge(sight, owedEnd: 4097) == "other")
        sight = device()
        record.record.pointee.disk_sequence = 0
        sight.diskSequence = 0
        #expect(judge(sight) == "changed")
    }

    /// Numbers that cannot be do not trap.
    @Test func extremes() {
        for value in [0, 1, UInt64.max, UInt64(Int64.max), UInt64(Int64.max) + 1] {
            var sight = file()
            record.record.pointee.writes_begun = value
            record.record.pointee.stamp_size = value
            for time in [Int64.min, -1, 0, 1, .max] {
                sight.stamp = ImageStamp(size: value, modified: time, changed: time)
                _ = KeptJudgement(record, owedEnd: time, alive: value, sight)
            }
        }
    }
}
