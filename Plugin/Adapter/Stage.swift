/// What this version serves.
enum Stage {
    /// Whether exports can be written. The writing calls are all there, down to the Pager's; this is the one switch that
    /// lets nbdkit, and so clients, have them. Computed, not stored: no once-token is looked at on the way of a write.
    static var servesWrites: Bool { false }
}
