import Glibc
import Paging
import Synchronization
import TestSupport

/// An Accessor of a writable image in which each base page follows from the number of its version; all begin with
/// version 0. It keeps only the numbers, and those are atomic. So it may read a page while that is written, as reading
/// over resident pages does. Yet it orders nothing and hides no race of the pager from the thread sanitizer.
final class VersionedImage: Accessor, Sendable {
    let size: Int64
    let isWritable = true
    private let seed: UInt64
    /// The maximum that a call takes, microseconds.
    private let maxDelay: Int
    private let calls = Tally()
    private let verdict: Verdict
    /// Called at the beginning of each read with its base pages: to hold it up.
    private let reading: (@Sendable (Range<UInt64>) -> Void)?
    private nonisolated(unsafe) let versions: UnsafeMutablePointer<Atomic<UInt64>>

    /// - Parameter verdict: Blamed for pages that go out torn.
    init(
        pages: Int, seed: UInt64 = 0, maxDelay: Int = 0, verdict: Verdict,
        reading: (@Sendable (Range<UInt64>) -> Void)? = nil
    ) {
        size = Int64(pages) * 4096
        self.seed = seed
        self.maxDelay = maxDelay
        self.verdict = verdict
        self.reading = reading
        versions = .allocate(capacity: pages)
        for page in 0..<pages { (versions + page).initialize(to: Atomic(0)) }
    }

    deinit { versions.deallocate() }

    /// The version of base page `page` on the image.
    func version(ofPage page: UInt64) -> UInt64 { versions[Int(page)].load(ordering: .relaxed) }

    /// Puts version `version` of base page `page` into `memory`.
    static func put(_ version: UInt64, page: UInt64, into memory: UnsafeMutableRawPointer) {
        Pattern(key: version).copy(
            to: UnsafeMutableRawBufferPointer(start: memory, count: 4096), at: Int64(page) * 4096)
        memory.storeBytes(of: version, toByteOffset: 8, as: UInt64.self)
    }

    /// The version of base page `page` that lies in `memory`, or nil if it is another page's or a mixture.
    static func version(in memory: UnsafeRawPointer, page: UInt64) -> UInt64? {
        let version = memory.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        return withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { whole in
            put(version, page: page, into: whole.baseAddress!)
            return memcmp(memory, whole.baseAddress!, 4096) == 0 ? version : nil
        }
    }

    private func delay() {
        guard maxDelay > 0 else { return }
        var random = SplitMix64(seed: seed, stream: UInt64(calls.add()))
        if random.once(in: 2) { usleep(UInt32(random.pick(0...maxDelay))) }
    }

    /// Calls `body` with each base page and its address in memory.
    private func each(
        _ pieces: UnsafeBufferPointer<iovec>, _ offset: Int64, _ body: (UInt64, UnsafeMutableRawPointer) -> Void
    ) {
        delay()
        var page = UInt64(offset) / 4096
        for piece in pieces {
            for place in stride(from: 0, to: piece.iov_len, by: 4096) {
                body(page, piece.iov_base + place)
                page += 1
            }
        }
        delay()
    }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        let pages = pieces.reduce(0) { $0 + UInt64($1.iov_len / 4096) }
        reading?(UInt64(offset) / 4096..<UInt64(offset) / 4096 + pages)
        each(pieces, offset) { page, memory in
            VersionedImage.put(version(ofPage: page), page: page, into: memory)
        }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        each(pieces, offset) { page, memory in
            guard let version = VersionedImage.version(in: memory, page: page) else {
                return verdict.blame("page \(page) goes out torn")
            }
            versions[Int(page)].store(version, ordering: .relaxed)
        }
    }

    func makeDurable() throws(AccessError) {}
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) { throw AccessError(EIO) }
    func trim(_ range: Range<Int64>) throws(AccessError) { throw AccessError(EIO) }
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        _ = report(Extent(range, .data))
    }
}
