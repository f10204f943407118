import CLinux
import Glibc
import Paging

extension ImageFile {
    /// Reads the image at `offset` into `pieces` (preadv2).
    ///
    /// Cost: one call for each 1024 pieces; no lock, no allocation.
    /// - Parameters:
    ///   - pieces: Whole pages at addresses that are multiples of 4096.
    ///   - offset: Bytes, a multiple of 4096. What lies past `size` becomes zeroes.
    /// - Throws: The error of the read; EIO if the image has become shorter than `size`.
    public func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        var transfer = Transfer(pieces, at: offset)
        let wanted = min(transfer.total, max(0, size - offset))
        var isComplete = false
        if let direct = opened.directNumber {
            // The last page is asked for whole: O_DIRECT takes nothing less, and the file's end cuts it short.
            let asked = min(transfer.total, Self.roundedUp(wanted))
            isComplete = try transfer.run(to: wanted, asking: asked, alignment: Self.pageSize) {
                linux_preadv(direct, $0, $1, $2, false)
            }
        }
        if !isComplete { try readBuffered(&transfer, to: wanted) }
        // From here on, even if the file has more by now.
        transfer.zeroMemory(from: wanted)
    }

    /// Reads what O_DIRECT could not, up to `wanted` bytes: everything if there is no O_DIRECT, otherwise what remains
    /// of an image that has become shorter.
    private func readBuffered(_ transfer: inout Transfer, to wanted: Int64) throws(AccessError) {
        let start = transfer.offset + transfer.done
        let number = opened.buffered.number
        let uncached = opened.dropsBehindByItself
        let isComplete = try transfer.run(to: wanted, asking: wanted, alignment: 1) {
            linux_preadv(number, $0, $1, $2, uncached)
        }
        if !uncached, transfer.offset + transfer.done > start {
            // Only advice: a failure does no harm.
            _ = linux_drop_cache(number, start, transfer.offset + transfer.done - start)
        }
        guard isComplete else { throw AccessError(EIO) }
    }

    /// Bytes, rounded up to a multiple of a page.
    static func roundedUp(_ bytes: Int64) -> Int64 { (bytes + pageSize - 1) & ~(pageSize - 1) }

    /// Bytes, rounded down to a multiple of a page.
    static func roundedDown(_ bytes: Int64) -> Int64 { bytes & ~(pageSize - 1) }
}
