/// The memory that an image has for itself: reserve=.
enum Reserve: Equatable, Sendable {
    case bytes(Int)
    /// A share of `memory=`, 0 to 1.
    case share(Double)

    /// The share of the memory that all reserves may take together.
    static let maxShare = 0.5

    /// In bytes.
    func bytes(of memory: Int) -> Int {
        switch self {
        case .bytes(let bytes): bytes
        case .share(let share): Int(Double(memory) * share)
        }
    }
}
