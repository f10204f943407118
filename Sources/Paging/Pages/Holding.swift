/// What an image has of the memory, and what is reserved for it. 16 bytes.
struct Holding {
    /// Frames of its flexpages that are queued.
    var held: Int32 = 0
    /// Frames that are reserved for it at present.
    var reserve: Int32 = 0
    /// The frames that its owner wants reserved; -1 if its reserve is the default.
    var wanted: Int32 = Holding.byDefault
    /// Whether what its owner wants is a share: then `wanted` is that of all frames that there can be.
    var wantsShare = false
    /// Whether it has users.
    var isActive = false

    static let byDefault: Int32 = -1

    /// Frames above its reserve.
    @inline(__always)
    var excess: Int32 { held &- reserve }
}
