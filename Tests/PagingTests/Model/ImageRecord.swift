/// A call that wrote to a RecordingImage, or synced it.
struct ImageRecord {
    enum Kind {
        case write
        case sync
    }

    let kind: Kind
    let start: UInt64
    /// `never` while it is under way.
    var end: UInt64 = ImageRecord.never
    /// The sectors that may have changed, and their new value; for a failed write, those that it reached.
    var sectors: Range<Int> = 0..<0
    var values: [UInt32] = []
    var hasFailed = false
    /// The moment from which nothing that it wrote can be lost; `never` if there is none.
    var durableAt: UInt64 = ImageRecord.never

    static let never = UInt64.max
}
