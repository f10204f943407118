import CStateFormat
import Paging
import Synchronization

/// How an image looked when the server last looked, in the record that the next server finds.
///
/// A stamp is worth something as long as no call has changed the image since. So it goes with the number of calls that
/// had begun. Thread rules: one thread at a time stores a stamp, beside any number of calls that change the image.
struct StampRecord: @unchecked Sendable {
    private let record: UnsafeMutablePointer<flexpage_state_image>
    private let counts: WriteCounts

    init(_ kept: KeptImage) {
        record = kept.record
        counts = WriteCounts(kept)
    }

    /// Calls that have begun to change the image; nil if one of them is under way.
    var begunIfQuiet: UInt64? {
        let ended = counts.ended.pointee.load(ordering: .sequentiallyConsistent)
        let begun = counts.begun.pointee.load(ordering: .sequentiallyConsistent)
        return begun == ended ? begun : nil
    }

    /// Whether the stamp says how the image looks after `begun` calls.
    func isStamped(after begun: UInt64) -> Bool {
        record.pointee.is_stamped == 1 && record.pointee.writes_when_stamped == begun
    }

    /// Stores how the image looks.
    /// - Parameter stamp: Nil if that proves nothing.
    /// - Parameter begun: The number of calls that had begun before the stamp was taken, all of which had ended.
    func store(_ stamp: ImageStamp?, after begun: UInt64) {
        record.pointee.is_stamped = 0
        guard let stamp else { return }
        flexpage_keep_order()
        stamp.keep(in: &record.pointee)
        record.pointee.writes_when_stamped = begun
        flexpage_keep_order()
        record.pointee.is_stamped = 1
        flexpage_keep_order()
    }

    /// Notes that others have changed the image.
    func storeForeign() { store(.foreign, after: counts.begun.pointee.load(ordering: .sequentiallyConsistent)) }
}
