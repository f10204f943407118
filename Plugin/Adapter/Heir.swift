import Accessors

/// An image that the last server has left something of, and that this one takes over.
struct Heir {
    let image: any ImageSource
    /// Base pages that are owed to it. Then it is locked for writing.
    let owed: Int
    /// Whether it has no descriptors, because nothing is owed to it and no client is there.
    let isResting: Bool
}
