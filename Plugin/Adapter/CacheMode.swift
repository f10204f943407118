/// When a write is answered: cache=.
enum CacheMode: String, CaseIterable {
    /// When it is in memory.
    case writeback
    /// When it is on the image.
    case writethrough
}
