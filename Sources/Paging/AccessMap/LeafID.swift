/// The number of a leaf in the LeafTable.
struct LeafID: Equatable {
    let raw: UInt32
    /// No leaf. Zero, so that fresh memory is an empty table.
    static let none = LeafID(raw: 0)
}
