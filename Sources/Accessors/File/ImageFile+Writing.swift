import CLinux
import Glibc
import Paging

extension ImageFile {
    /// Writes `pieces` to the image at `offset` (pwritev2).
    ///
    /// O_DIRECT cannot write the tail of an image whose size is no multiple of 4096. The tail goes through the page
    /// cache, at its exact length, and is on its way to the device's cache when the call returns.
    ///
    /// The size is checked before writing. An image that is truncated between the check and the write is made longer
    /// again, though never longer than `size`: the kernel has no write that forbids it.
    ///
    /// Cost: a check of the size, one call for each 1024 pieces, three for a tail; no lock, no allocation.
    /// - Parameters:
    ///   - pieces: Whole pages at addresses that are multiples of 4096.
    ///   - offset: Bytes, a multiple of 4096. What lies past `size` is not written.
    /// - Throws: The error of the write (some of it may be written then); EROFS if the image is open for reading only;
    ///   EIO, with nothing written, if the image has become too short for the write.
    public func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        try requireWritable()
        var transfer = Transfer(pieces, at: offset)
        let wanted = min(transfer.total, max(0, size - offset))
        guard wanted > 0 else { return }
        try requirePresent(upTo: offset + wanted)
        writeCounts?.begin()
        defer { writeCounts?.end() }
        try write(&transfer, to: wanted)
    }

    /// The logical block, if parts of pages can be written past the page cache. Through it, the kernel would read the
    /// rest of each page first. (A spinning disk with larger physical blocks reads the rest itself. That is asked of
    /// it all the same, because it takes no longer than a read by the pager, and many virtual disks say that they
    /// spin.)
    public var partUnit: Int? { opened.writesParts ? Int(logicalBlockSize) : nil }

    /// Writes `pieces`, whole logical blocks, to the image at `offset` (pwritev2), past the page cache.
    ///
    /// Cost: a check of the size and one call; no lock, no allocation.
    /// - Parameter pieces: At addresses that are multiples of 4096. They end inside the image.
    /// - Throws: As `writeOut`.
    public func writeParts(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        try requireWritable()
        var transfer = Transfer(pieces, at: offset)
        let wanted = transfer.total
        try requirePresent(upTo: offset + wanted)
        writeCounts?.begin()
        defer { writeCounts?.end() }
        if let direct = opened.directNumber {
            _ = try transfer.run(to: wanted, asking: wanted, alignment: logicalBlockSize) {
                linux_pwritev(direct, $0, $1, $2, false)
            }
        }
        if transfer.done < wanted { try writeBuffered(&transfer, to: wanted) }
    }

    /// Makes durable what was written, zeroed or trimmed by calls that had returned before this one began (fdatasync).
    ///
    /// One fdatasync on any descriptor of the file covers what went through all of them. It writes out the file's page
    /// cache, and commits the metadata that reading the data back needs (holes too). It flushes the device's cache, in
    /// which O_DIRECT left its data. The same goes for a block device.
    /// - Throws: The error of the sync, or of a write-out by the kernel since the last sync. The data in question may
    ///   be lost: calling again proves nothing about it.
    public func makeDurable() throws(AccessError) {
        let number = opened.syncing.number
        // EINTR says that the wait ended, not that the data failed.
        _ = try Linux.uninterrupted { linux_fdatasync(number) }
    }

    /// Writes whole pages past the page cache if possible, and the rest, up to `wanted` bytes, through it.
    func write(_ transfer: inout Transfer, to wanted: Int64) throws(AccessError) {
        if let direct = opened.directNumber {
            let whole = Self.roundedDown(wanted)
            _ = try transfer.run(to: whole, asking: whole, alignment: Self.pageSize) {
                linux_pwritev(direct, $0, $1, $2, false)
            }
        }
        // The tail; and what is left if O_DIRECT stopped inside a page. This call reports the reason, if there is one.
        if transfer.done < wanted { try writeBuffered(&transfer, to: wanted) }
    }

    /// Writes what is left of `transfer`, up to `wanted` bytes, through the page cache, and leaves nothing there.
    func writeBuffered(_ transfer: inout Transfer, to wanted: Int64) throws(AccessError) {
        let start = transfer.offset + transfer.done
        let number = opened.buffered.number
        // Beside O_DIRECT it must be out of the page cache on return, not some time later.
        let uncached = !isDirect && opened.dropsBehindByItself
        let isComplete = try transfer.run(to: wanted, asking: wanted, alignment: 1) {
            linux_pwritev(number, $0, $1, $2, uncached)
        }
        guard isComplete else { throw AccessError(EIO) }
        if !uncached { try dropFromPageCache(start..<transfer.offset + wanted) }
    }

    /// Writes `range` back from the page cache and drops it there. This makes nothing durable, but reads past the page
    /// cache see it on any filesystem.
    ///
    /// Synchronous, so that the page cache never holds more dirty bytes than are being written at this moment.
    func dropFromPageCache(_ range: Range<Int64>) throws(AccessError) {
        let number = opened.buffered.number
        let length = range.upperBound - range.lowerBound
        _ = try Linux.uninterrupted { linux_write_back(number, range.lowerBound, length) }
        // Only whole pages are dropped, so name the pages around. Only advice: a failure does no harm.
        let start = Self.roundedDown(range.lowerBound)
        _ = linux_drop_cache(number, start, Self.roundedUp(range.upperBound) - start)
    }

    func requireWritable() throws(AccessError) {
        guard isWritable else { throw AccessError(EROFS) }
    }

    /// - Throws: EIO if the image is shorter than `end` bytes by now.
    func requirePresent(upTo end: Int64) throws(AccessError) {
        guard try currentSize() >= end else { throw AccessError(EIO) }
    }

    /// Bytes in the image at this moment.
    ///
    /// From lseek, whose position nothing here uses, and not from fstat. Since 6.13, once fstat has read a file's
    /// times, the kernel gives the file new times with the next write. So each sync would have an inode to write as
    /// well.
    func currentSize() throws(AccessError) -> Int64 {
        let number = opened.buffered.number
        if isBlockDevice { return try Linux.uninterrupted { linux_block_size(number) } }
        return try Linux.uninterrupted { linux_seek_end(number) }
    }
}
