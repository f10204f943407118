/// A call that wrote to a RecordingImage, or synced it.
struct ImageRecord {
    enum Kind {
        case write
        case sync
    }

    let kind: Kind
    let start: UInt64
    var end: UInt64
    /// The sectors that may have changed, and what to; of a failed write those that it came to.
    let sectors: Range<Int>
    let values: [UInt32]
    var hasFailed: Bool
    /// From when on what it wrote can be lost no more; `never` if that moment does not come.
    var durableAt: UInt64 = ImageRecord.never

    static let never = UInt64.max
}
