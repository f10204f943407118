import Glibc
import Paging
import Synchronization
import TestSupport

/// An Accessor of an image in which every byte follows from its offset. It delays, reorders and fails as its faults
/// say. It takes no lock and orders nothing, so that it hides no race of the pager from the thread sanitizer.
final class MemoryImage: Accessor, @unchecked Sendable {
    let size: Int64
    let isWritable = false
    let pattern: Pattern
    private let faults: Faults
    private let seed: UInt64
    private let healed = Atomic<Bool>(false)
    /// Calls of `populate` so far, and base pages that they asked for.
    let reads = Atomic<Int>(0)
    let pagesRead = Atomic<Int>(0)
    /// Calls of `extents` so far.
    let questions = Atomic<Int>(0)
    /// Called at the beginning of each read with the base pages asked for: to hold it up.
    private let arriving: (@Sendable (Range<UInt64>) -> Void)?
    /// The maximum of base pages in one extent; longer ones may be reported in parts.
    private static let maxExtent: UInt64 = 4096

    init(
        size: Int64, key: UInt64 = 0, zeroes: Zeroes = .none, faults: Faults = .none, seed: UInt64 = 0,
        arriving: (@Sendable (Range<UInt64>) -> Void)? = nil
    ) {
        self.size = size
        pattern = Pattern(key: key, zeroes: zeroes)
        self.faults = faults
        self.seed = seed
        self.arriving = arriving
    }

    /// From now on nothing fails.
    func heal() { healed.store(true, ordering: .relaxed) }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        let call = reads.add(1, ordering: .relaxed).newValue
        var random = SplitMix64(seed: seed, stream: UInt64(call))
        let bytes = pieces.reduce(0) { $0 + $1.iov_len }
        checkAlignment(pieces, offset)
        pagesRead.add(bytes / 4096, ordering: .relaxed)
        let pages = UInt64(offset) / 4096..<UInt64(offset) / 4096 + UInt64(bytes / 4096)
        arriving?(pages)
        if faults.maxDelay > 0 { usleep(UInt32(random.pick(0...faults.maxDelay))) }
        let isHealed = healed.load(ordering: .relaxed)
        if !isHealed, random.once(in: faults.readFailsOnceIn) { throw AccessError(EIO) }
        var position = offset
        for piece in pieces {
            let memory = UnsafeMutableRawBufferPointer(start: piece.iov_base, count: piece.iov_len)
            try copy(to: memory, at: position, isHealed: isHealed, &random)
            position += Int64(piece.iov_len)
        }
    }

    /// Checks what the protocol promises to its implementers.
    private func checkAlignment(_ pieces: UnsafeBufferPointer<iovec>, _ offset: Int64) {
        precondition(offset % 4096 == 0 && !pieces.isEmpty, "reads begin on a base page")
        for piece in pieces {
            precondition(piece.iov_len % 4096 == 0 && piece.iov_len > 0, "pieces are whole base pages")
            precondition(UInt(bitPattern: piece.iov_base) % 4096 == 0, "pieces lie on base pages")
        }
        precondition(pieces.areDisjoint, "each piece has memory of its own")
    }

    /// Copies page by page up to the first bad one, so that a failed read leaves half its work behind.
    private func copy(
        to memory: UnsafeMutableRawBufferPointer, at offset: Int64, isHealed: Bool, _ random: inout SplitMix64
    ) throws(AccessError) {
        var done = 0
        while done < memory.count {
            let page = UInt64(offset) + UInt64(done)
            if !isHealed, faults.badPages.contains(page / 4096) { throw AccessError(EIO) }
            let maxCount = 4096 - done % 4096
            let count = faults.isShort ? random.pick(1...maxCount) : maxCount
            let part = UnsafeMutableRawBufferPointer(rebasing: memory[done..<done + count])
            copyClipped(to: part, at: offset + Int64(done))
            if faults.isShort, random.once(in: 8) { sched_yield() }
            done += count
        }
    }

    /// The image's bytes, and zeroes past its end.
    private func copyClipped(to part: UnsafeMutableRawBufferPointer, at offset: Int64) {
        let inside = Int(max(0, min(Int64(part.count), size - offset)))
        pattern.copy(to: UnsafeMutableRawBufferPointer(rebasing: part[..<inside]), at: offset)
        if inside < part.count { memset(part.baseAddress! + inside, 0, part.count - inside) }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        throw AccessError(EROFS)
    }
    func makeDurable() throws(AccessError) {}
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) { throw AccessError(EROFS) }
    func trim(_ range: Range<Int64>) throws(AccessError) { throw AccessError(EROFS) }
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        let call = questions.add(1, ordering: .relaxed).newValue
        var random = SplitMix64(seed: seed, stream: UInt64(call) | 1 << 40)
        if faults.maxDelay > 0 { usleep(UInt32(random.pick(0...faults.maxDelay))) }
        let fails = faults.questionsFail || random.once(in: faults.readFailsOnceIn)
        if fails, !healed.load(ordering: .relaxed) { throw AccessError(EIO) }
        var offset = range.lowerBound
        while offset < range.upperBound {
            let first = UInt64(offset) / 4096
            let isHole = isHole(first)
            var page = first + 1
            while page - first < MemoryImage.maxExtent, self.isHole(page) == isHole { page += 1 }
            let end = min(Int64(page) * 4096, range.upperBound)
            guard report(Extent(offset..<end, isHole ? .hole : .data)) else { return }
            offset = end
        }
    }

    /// A bad page is no hole: there would be nothing to read.
    private func isHole(_ page: UInt64) -> Bool { pattern.zeroes.isHole(page) && !faults.badPages.contains(page) }
}
