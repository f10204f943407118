/// A call that wrote to a RecordingImage, or synced it.
struct ImageRecord {
    enum Kind {
        case write
        case sync
    }

    let kind: Kind
    let start: UInt64
    var end: UInt64
    /// The sectors that may have changed, and their new value; for a failed write, those that it reached.
    let sectors: Range<Int>
    let values: [UInt32]
    var hasFailed: Bool
    /// The moment from which nothing that it wrote can be lost; `never` if there is none.
    var durableAt: UInt64 = ImageRecord.never

    static let never = UInt64.max
}
