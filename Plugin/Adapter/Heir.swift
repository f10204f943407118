import Accessors

/// An image that the last server has left something of, and that this one takes over.
struct Heir {
    let image: any ImageSource
    /// Base pages that are owed to it.
    let owed: Int
    /// Whether it is locked for writing, because the dead server has left something to be written or synced.
    let isLocked: Bool
    /// Whether it has no descriptors, because there is nothing to be done and no client is there.
    let isResting: Bool
}
