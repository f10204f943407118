import Paging

extension Reserve {
    /// The share of the memory that all reserves may take together.
    static let maxShare = 0.5
}
