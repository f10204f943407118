/// An entry of the ghost queue. Zero is an empty one.
struct GhostEntry {
    var fingerprint: UInt32
    var recycledAt: UInt32
}
