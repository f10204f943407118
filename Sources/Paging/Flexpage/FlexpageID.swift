/// The number of a flexpage's first frame.
typealias FlexpageID = UInt32

extension FlexpageID {
    /// No flexpage.
    static let none = UInt32.max
}
