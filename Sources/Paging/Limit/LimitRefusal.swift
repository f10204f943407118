/// Why the memory cannot be limited as wanted.
public enum LimitRefusal: Error, Equatable, Sendable {
    /// There is no more than this, bytes.
    case above(max: Int)
    /// This is the minimum, bytes.
    case below(min: Int)
    /// There is no thread for it.
    case noThread(AccessError)
}
