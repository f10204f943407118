import Glibc
import Paging
import TestSupport

/// A sparse image of any size: a hole with some islands of 1 MiB each.
final class IslandImage: Accessor, @unchecked Sendable {
    static let count = 16

    let size: Int64
    let isWritable = false
    let pattern = Pattern(key: 15)
    /// The islands' offsets.
    let offsets: [Int64]
    let pagesRead = Tally()

    init(size: Int64) {
        self.size = size
        var random = SplitMix64(seed: 15)
        offsets = (0..<IslandImage.count).map { _ in random.place(below: size >> 20) << 20 }.sorted()
    }

    private func isIsland(_ offset: Int64) -> Bool { offsets.contains(offset & ~((1 << 20) - 1)) }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        var position = offset
        for piece in pieces {
            let memory = UnsafeMutableRawBufferPointer(start: piece.iov_base, count: piece.iov_len)
            if isIsland(position) {
                pattern.copy(to: memory, at: position)
            } else {
                memset(piece.iov_base, 0, piece.iov_len)
            }
            pagesRead.add(piece.iov_len / 4096)
            position += Int64(piece.iov_len)
        }
    }

    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let isData = isIsland(offset)
            let next = isData ? (offset | ((1 << 20) - 1)) + 1 : offsets.first { $0 > offset } ?? size
            let end = min(next, range.upperBound)
            guard report(Extent(offset..<end, isData ? .data : .hole)) else { return }
            offset = end
        }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        throw AccessError(EROFS)
    }
    func makeDurable() throws(AccessError) {}
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) { throw AccessError(EROFS) }
    func trim(_ range: Range<Int64>) throws(AccessError) { throw AccessError(EROFS) }
}
