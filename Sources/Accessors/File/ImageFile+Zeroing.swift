import CLinux
import Glibc
import Paging

/// Zeroing and trimming, by the cheapest means that is right:
///
/// |                      | regular file            | block device                                       |
/// |----------------------|-------------------------|----------------------------------------------------|
/// | trim                 | punch a hole            | punch (the device unmaps, and reads as zeroes)     |
/// | zero, may trim       | punch, else as below    | punch whole blocks, else as below                  |
/// | zero, fast           | zero the range          | zero the range, if the device does that itself     |
/// | zero                 | …, else write zeroes    | zero the range (the kernel may write), else write  |
///
/// "Punch" and "zero the range" are fallocate(2) with FALLOC_FL_KEEP_SIZE: nothing gets longer. On a block device both
/// mean blocks that read as zeroes afterwards. BLKDISCARD promises nothing about that, so it is not used. A block
/// device takes whole blocks there: the edges of a range are written.
///
/// What must stay allocated is allocated before the first byte is zeroed. So a full filesystem says so then, with
/// nothing changed, and not halfway.
///
/// fallocate drops the page cache over the range, except the pages at unaligned edges, which it zeroes there. They are
/// written back at once, like everything that goes through the page cache.
extension ImageFile {
    /// Makes `range` read as zeroes.
    ///
    /// Cost: a few calls, whatever the length, if the filesystem or the device has a means; otherwise one call for each
    /// MiB. No lock, no allocation.
    /// - Parameters:
    ///   - range: Any bytes inside the image.
    ///   - mayTrim: True if the range may become a hole. If false, its space stays allocated or becomes so.
    ///   - onlyIfFast: Throw EOPNOTSUPP, with nothing changed, rather than write zeroes out.
    /// - Throws: With nothing changed: EOPNOTSUPP; ENOSPC if the space of a hole cannot be allocated (some of it may be
    ///   allocated now); EIO if the image has become shorter than the range; EROFS; EINVAL for a range outside the
    ///   image. Other errors of the calls: some of the range may be zeroed then.
    public func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {
        guard try beginChanging(range) else { return }
        writeCounts?.begin()
        defer { writeCounts?.end() }
        let isDone =
            isBlockDevice
            ? try zeroDevice(range, mayTrim: mayTrim, onlyIfFast: onlyIfFast)
            : try zeroFile(range, mayTrim: mayTrim)
        if isDone { return }
        if onlyIfFast { throw AccessError(EOPNOTSUPP) }
        try writeZeroes(range)
    }

    /// Makes `range` a hole.
    ///
    /// Cost: a few calls, whatever the length; no lock, no allocation.
    /// - Parameter range: Multiples of 4096 bytes, except at the image's end.
    /// - Throws: EOPNOTSUPP, with nothing changed, if there are no holes; otherwise as `zero`.
    public func trim(_ range: Range<Int64>) throws(AccessError) {
        guard try beginChanging(range) else { return }
        writeCounts?.begin()
        defer { writeCounts?.end() }
        guard try punch(range) else { throw AccessError(EOPNOTSUPP) }
        if !isBlockDevice { try dropEdgesFromPageCache(of: range) }
    }

    /// True if there is anything to do.
    private func beginChanging(_ range: Range<Int64>) throws(AccessError) -> Bool {
        try requireWritable()
        guard range.lowerBound >= 0, range.upperBound <= size else { throw AccessError(EINVAL) }
        try requirePresent(upTo: range.upperBound)
        return !range.isEmpty
    }

    // MARK: - Regular files

    /// True if the filesystem did it.
    private func zeroFile(_ range: Range<Int64>, mayTrim: Bool) throws(AccessError) -> Bool {
        var isDone = false
        if mayTrim { isDone = try punch(range) }
        if !isDone {
            try allocate(range)
            isDone = try zeroInPlace(range)
        }
        if isDone { try dropEdgesFromPageCache(of: range) }
        return isDone
    }

    /// Writes back the pages that `range` covers in part.
    private func dropEdgesFromPageCache(of range: Range<Int64>) throws(AccessError) {
        let first = Self.roundedDown(range.lowerBound)
        let last = Self.roundedDown(range.upperBound)
        if first < range.lowerBound { try dropFromPageCache(first..<min(first + Self.pageSize, size)) }
        if last < range.upperBound { try dropFromPageCache(last..<min(last + Self.pageSize, size)) }
    }

    // MARK: - Block devices

    /// True if the device, or the kernel for it, did it. Whole blocks first: if those are refused, nothing has changed.
    private func zeroDevice(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) -> Bool {
        // All that fallocate takes on a block device.
        let inner = range.wholeBlocks(of: max(Self.pageSize, logicalBlockSize), ofImage: size)
        if inner.isEmpty { return false }
        var isDone = false
        if mayTrim { isDone = try punch(inner) }
        // If the device has no means, the kernel writes zeroes, and does not say so.
        if !isDone, offloadsZeroes || !onlyIfFast { isDone = try zeroInPlace(inner) }
        guard isDone else { return false }
        try writeZeroes(range.lowerBound..<inner.lowerBound)
        try writeZeroes(inner.upperBound..<range.upperBound)
        return true
    }

    // MARK: - The means

    /// True if there is a hole now.
    private func punch(_ range: Range<Int64>) throws(AccessError) -> Bool {
        // A hole up to the image's end takes the whole last page; otherwise the filesystem would keep a block of zeroes
        // there. If the file has become longer, the rest of the page is none of our business.
        var end = range.upperBound
        if !isBlockDevice, end == size, try currentSize() == size { end = Self.roundedUp(size) }
        let holeEnd = end
        let number = opened.buffered.number
        return try isSupported(range) { linux_punch_hole(number, range.lowerBound, holeEnd - range.lowerBound) }
    }

    /// Allocates the holes of the range, which still read as zeroes. If the filesystem cannot, writing will do it.
    private func allocate(_ range: Range<Int64>) throws(AccessError) {
        let number = opened.buffered.number
        _ = try isSupported(range) { linux_allocate(number, range.lowerBound, range.upperBound - range.lowerBound) }
    }

    /// True if the range is zeroes now, and allocated.
    private func zeroInPlace(_ range: Range<Int64>) throws(AccessError) -> Bool {
        let number = opened.buffered.number
        return try isSupported(range) {
            linux_zero_range(number, range.lowerBound, range.upperBound - range.lowerBound)
        }
    }

    /// Calls fallocate. False if it says that it can do no such thing, or not there: nothing has changed then.
    ///
    /// Our claim of a block device is on another open file description than the one called on. So the kernel does not
    /// force the range out of the page cache. It says EBUSY if a page there is dirty, on its way out, or being looked
    /// at by another process that has the device open. Writing back what is dirty cures that. If it does not, the range
    /// counts as one that fallocate does not support.
    private func isSupported(_ range: Range<Int64>, _ call: () -> Int32) throws(AccessError) -> Bool {
        for _ in 0..<3 {
            do throws(AccessError) {
                _ = try Linux.uninterrupted(call)
                return true
            } catch {
                switch error.code {
                case EOPNOTSUPP, ENOSYS, EINVAL: return false
                case EBUSY where isBlockDevice: try dropFromPageCache(range)
                default: throw error
                }
            }
        }
        return false
    }

    /// Writes zeroes. If the range begins inside a page, they go through the page cache to the end of that page. The
    /// rest is written like any other write.
    private func writeZeroes(_ range: Range<Int64>) throws(AccessError) {
        var position = range.lowerBound
        let aligned = min(Self.roundedUp(position), range.upperBound)
        if position < aligned {
            try writeZeroPiece(position..<aligned, buffered: true)
            position = aligned
        }
        while position < range.upperBound {
            let end = min(range.upperBound, position + Int64(ZeroBytes.count))
            try writeZeroPiece(position..<end, buffered: false)
            position = end
        }
    }

    /// Writes at most `ZeroBytes.count` zeroes in one go. Begins at a page boundary, unless `buffered`.
    private func writeZeroPiece(_ range: Range<Int64>, buffered: Bool) throws(AccessError) {
        let length = range.upperBound - range.lowerBound
        var piece = iovec(iov_base: UnsafeMutableRawPointer(mutating: zeroes.base), iov_len: Int(length))
        try withUnsafePointer(to: &piece) { (piece) throws(AccessError) in
            var transfer = Transfer(UnsafeBufferPointer(start: piece, count: 1), at: range.lowerBound)
            if buffered {
                try writeBuffered(&transfer, to: length)
            } else {
                try write(&transfer, to: length)
            }
        }
    }
}
