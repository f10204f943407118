import Glibc
import Paging
import Synchronization

/// An image without contents that counts accesses. A read stores one word in each base page, so that the page does not
/// look like zeroes, and leaves the rest alone. A simulation needs only numbers and sizes of accesses.
///
/// With a content, pages of zeroes look like that. With a second tier, only what that does not have is read.
///
/// Thread rules: any thread; with a content or a tier, one thread.
final class SimulatedImage: ForgetfulImage, @unchecked Sendable {
    let size: Int64
    /// What is in it, and what has some of it; nil for none.
    private let content: ImageContent?
    private var tier: (CompressedTier, image: UInt16)?
    private let reads = Atomic<Int>(0)
    private let bytesRead = Atomic<Int>(0)
    private let writes = Atomic<Int>(0)
    private let bytesWritten = Atomic<Int>(0)

    init(size: Int64, content: ImageContent? = nil) {
        self.size = size
        self.content = content
    }

    /// From now on, what the pager recycles of the image, which has this number, is in a tier.
    func use(_ tier: CompressedTier, asImage image: UInt16) { self.tier = (tier, image) }

    /// The counts so far.
    var traffic: Traffic {
        Traffic(
            reads: reads.load(ordering: .relaxed), bytesRead: bytesRead.load(ordering: .relaxed),
            writes: writes.load(ordering: .relaxed), bytesWritten: bytesWritten.load(ordering: .relaxed))
    }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        count(pieces, at: offset)
        var page = UInt64(offset) / UInt64(BasePage.size)
        for piece in pieces {
            for place in stride(from: 0, to: piece.iov_len, by: BasePage.size) {
                populate(piece.iov_base + place, page)
                page += 1
            }
        }
    }

    /// Counts a read of all that the tier does not have.
    private func count(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) {
        let bytes = SimulatedImage.bytes(in: pieces)
        guard let (tier, image) = tier else {
            reads.add(1, ordering: .relaxed)
            bytesRead.add(bytes, ordering: .relaxed)
            return
        }
        let first = UInt64(offset) / UInt64(BasePage.size)
        for run in tier.take(first..<first + UInt64(bytes / BasePage.size), ofImage: image) {
            reads.add(1, ordering: .relaxed)
            bytesRead.add(run.count * BasePage.size, ordering: .relaxed)
        }
    }

    @inline(__always)
    private func populate(_ memory: UnsafeMutableRawPointer, _ page: UInt64) {
        if let content, content.page(page) == .zeroes {
            // A client may have written more than a word there.
            memset(memory, 0, BasePage.size)
        } else {
            memory.storeBytes(of: 1, as: UInt64.self)
        }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        writes.add(1, ordering: .relaxed)
        bytesWritten.add(SimulatedImage.bytes(in: pieces), ordering: .relaxed)
    }

    func writeParts(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        try writeOut(pieces, at: offset)
    }

    private static func bytes(in pieces: UnsafeBufferPointer<iovec>) -> Int {
        pieces.reduce(0) { $0 + $1.iov_len }
    }
}
