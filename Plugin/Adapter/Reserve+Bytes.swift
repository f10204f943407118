import Paging

extension Reserve {
    /// The share of the memory that all reserves may take together.
    static let maxShare = 0.5

    /// In bytes, of a memory of `memory` bytes.
    func bytes(of memory: Int) -> Int {
        switch self {
        case .bytes(let bytes): bytes
        case .share(let share): Int(Double(memory) * share)
        }
    }
}
