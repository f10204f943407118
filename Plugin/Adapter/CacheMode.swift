/// When a write is answered (`cache=` on the command line).
enum CacheMode: String, CaseIterable {
    /// When it is in memory; a flush makes it durable.
    case writeback
    /// When it has reached the image; a flush makes it durable all the same.
    case writethrough
}
