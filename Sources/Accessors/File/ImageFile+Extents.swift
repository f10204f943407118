import CLinux
import Glibc
import Paging

extension ImageFile {
    /// Tells which parts of `range` are data and which are holes (lseek, SEEK_DATA and SEEK_HOLE).
    ///
    /// Space that is allocated and was never written counts as a hole, as in Linux: it reads as zeroes all the same.
    /// Everything is data on a block device, if the filesystem does not know holes, and if the image has become
    /// shorter. What is written meanwhile may be reported either way. Extents begin and end at blocks of the
    /// filesystem, which can be smaller than a page.
    ///
    /// Cost: one call for each extent reported; no lock, no allocation.
    /// - Parameter range: Bytes inside the image.
    /// - Throws: EINVAL for a range outside the image; the error of the call.
    public func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        guard range.lowerBound >= 0, range.upperBound <= size else { throw AccessError(EINVAL) }
        var position = range.lowerBound
        while position < range.upperBound {
            let found = try extent(at: position, before: range.upperBound)
            guard report(found) else { return }
            position = found.range.upperBound
        }
    }

    /// The extent that begins at `position` and ends at `end` or before. Never empty.
    private func extent(at position: Int64, before end: Int64) throws(AccessError) -> Extent {
        guard !isBlockDevice, let data = try nextData(from: position, before: end) else {
            return Extent(position..<end, .data)
        }
        if data > position { return Extent(position..<min(data, end), .hole) }
        let number = opened.buffered.number
        let hole = try Linux.uninterrupted { linux_seek_hole(number, position) }
        // A hole made since the last call would be an extent of length 0. A page of data is as true, and makes
        // progress.
        return Extent(position..<min(end, hole > position ? hole : position + Self.pageSize), .data)
    }

    /// Where the next data begins, or `end` if there is none before it; nil if that cannot be told.
    private func nextData(from position: Int64, before end: Int64) throws(AccessError) -> Int64? {
        let number = opened.buffered.number
        do throws(AccessError) {
            return try Linux.uninterrupted { linux_seek_data(number, position) }
        } catch {
            switch error.code {
            // No data up to the end of the file. If the end has moved, there may be anything.
            case ENXIO: return try currentSize() >= end ? end : nil
            case EINVAL, EOPNOTSUPP, ENOSYS: return nil
            default: throw error
            }
        }
    }
}
