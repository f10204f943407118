/// How much of the memory is reserved for an image.
public enum Reserve: Sendable, Equatable {
    /// Bytes of pages, rounded up to base pages.
    case bytes(Int)
    /// A share of all pages, 0 to 0.5.
    case share(Double)

    /// The frames that it reserves if there are `frames` in all.
    func frames(of frames: Int) -> Int {
        switch self {
        case .bytes(let bytes): max(0, bytes / BasePage.size + (bytes % BasePage.size > 0 ? 1 : 0))
        case .share(let share): Int(Double(frames) * min(max(share, 0), 1))
        }
    }
}
