import CLinux
import Glibc
import Paging

extension ImageFile {
    /// Does several writes at once, if they go past the page cache and the kernel can do that; otherwise one by one.
    /// What was not done whole at once is done again alone.
    ///
    /// Cost: a check of the size and one system call for all of them. No lock, no allocation.
    public func writeOut(_ writes: UnsafeMutableBufferPointer<WriteOut>) {
        let areDone = writes.count > 1 && writes.count <= WriteOut.maxCount && writeTogether(writes)
        if !areDone { for index in writes.indices { writeAlone(&writes[index]) } }
    }

    private func writeAlone(_ write: inout WriteOut) {
        do throws(AccessError) {
            try writeOut(write.pieces, at: write.offset)
        } catch {
            write.error = error
        }
    }

    /// - Returns: False if nothing has been done.
    func writeTogether(_ writes: UnsafeMutableBufferPointer<WriteOut>) -> Bool {
        guard isWritable, let direct = opened.directNumber, isPresent(writes) else { return false }
        var requests = InlineArray<32, linux_ring_write> { index in
            guard index < writes.count else { return linux_ring_write() }
            let (pieces, offset) = (writes[index].pieces, writes[index].offset)
            return linux_ring_write(
                pieces: pieces.baseAddress, count: UInt32(pieces.count), offset: offset, result: 0)
        }
        writeCounts?.begin()
        defer { writeCounts?.end() }
        var span = requests.mutableSpan
        let areDone = span.withUnsafeMutableBufferPointer {
            rings.write(UnsafeMutableBufferPointer(rebasing: $0[0..<writes.count]), on: direct)
        }
        guard areDone else { return false }
        for index in writes.indices where requests[index].result != Self.bytes(of: writes[index].pieces) {
            // Not at once, not whole, or not at all: alone, the write succeeds or reports why not.
            writeAlone(&writes[index])
        }
        return true
    }

    /// True if all of them lie in whole pages of the image as it is now. Then O_DIRECT can write them, and they do not
    /// make the image longer.
    private func isPresent(_ writes: UnsafeMutableBufferPointer<WriteOut>) -> Bool {
        var end: Int64 = 0
        for write in writes { end = max(end, write.offset + Self.bytes(of: write.pieces)) }
        guard end <= size else { return false }
        do throws(AccessError) {
            try requirePresent(upTo: end)
            return true
        } catch {
            return false
        }
    }

    private static func bytes(of pieces: UnsafeBufferPointer<iovec>) -> Int64 {
        var total: Int64 = 0
        for piece in pieces { total += Int64(piece.iov_len) }
        return total
    }
}
