import Glibc
import Paging

/// The Pager's way of a write, as far as the plugin needs its names, until the Pager has it: every request is refused.
/// No client gets here, as `Stage` does not let nbdkit offer writing. This file goes when the Pager writes.
extension Pager {
    func write(from buffer: UnsafeRawBufferPointer, at offset: Int64, forced: Bool) throws(AccessError) {
        throw AccessError(EROFS)
    }

    /// Nothing was written, so all of it is durable.
    func flush() throws(AccessError) {}

    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool, forced: Bool) throws(AccessError) {
        throw AccessError(EROFS)
    }

    func trim(_ range: Range<Int64>, forced: Bool) throws(AccessError) {
        throw AccessError(EROFS)
    }
}
