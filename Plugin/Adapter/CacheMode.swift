/// When a write is answered: cache=.
enum CacheMode: String, CaseIterable {
    /// Once it is in memory.
    case writeback
    /// Once it is on the image as well.
    case writethrough
}
