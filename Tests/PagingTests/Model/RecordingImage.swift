import Glibc
import Synchronization
import TestSupport

@testable import Paging

/// An Accessor of a writable image in memory that records every write, zero, trim and sync with its time. It fails and
/// delays as its faults say. It checks that callers keep to the protocol: what is written out is stable and made of
/// whole sectors, and no page is read or written while it is being written.
///
/// It takes no lock, so that it hides no race of the pager from the thread sanitizer. The bytes themselves are
/// unguarded.
final class RecordingImage: Accessor, @unchecked Sendable {
    let size: Int64
    let isWritable = true
    private let memory: UnsafeMutableRawPointer
    private let faults: WriteFaults
    private let seed: UInt64
    private let clock: Clock
    private let verdict: Verdict
    private let healed = Atomic<Bool>(false)
    private let calls = Atomic<UInt64>(0)
    /// One number for each base page: 0, or 1 while a call changes it.
    private let beingChanged: UnsafeMutablePointer<Atomic<UInt8>>
    /// One number for each base page: 1 if it is reported as a hole.
    private let holes: UnsafeMutablePointer<Atomic<UInt8>>
    /// The value of each sector of the fresh image.
    let originals: [UInt32]
    private let records: UnsafeMutablePointer<ImageRecord>
    private let recorded = Atomic<Int>(0)
    /// The owner of the pieces' memory, once it is known. It outlives the image's use.
    private nonisolated(unsafe) var paging: Pages?

    /// A last will writes once more what is being written or zeroed by threads that have been stopped.
    nonisolated(unsafe) var isWrittenTwice = false

    /// Says whose memory the pieces will be. Call it before the image is opened.
    func belongs(to pages: Pages) { paging = pages }
    private static let maxRecords = 1 << 16

    /// - Parameter size: A multiple of the sector.
    init(
        size: Int64, zeroes: Zeroes = .none, faults: WriteFaults = WriteFaults(), seed: UInt64 = 0, clock: Clock,
        verdict: Verdict
    ) {
        self.size = size
        self.faults = faults
        self.seed = seed
        self.clock = clock
        self.verdict = verdict
        memory = .allocate(byteCount: Int(size), alignment: 4096)
        originals = (0..<Int(size) / Sector.size).map { sector in
            zeroes.isZero(UInt64(sector / 8)) ? Sector.zeroes : Sector.original
        }
        for (sector, value) in originals.enumerated() {
            Sector.store(value, sector: sector, to: memory + sector * Sector.size)
        }
        let pages = Int(size + 4095) / 4096
        beingChanged = .allocate(capacity: pages)
        holes = .allocate(capacity: pages)
        for page in 0..<pages {
            (beingChanged + page).initialize(to: Atomic(0))
            (holes + page).initialize(to: Atomic(zeroes.isHole(UInt64(page)) ? 1 : 0))
        }
        records = .allocate(capacity: RecordingImage.maxRecords)
    }

    deinit {
        memory.deallocate()
        beingChanged.deallocate()
        holes.deallocate()
        records.deinitialize(count: recorded.load(ordering: .relaxed))
        records.deallocate()
    }

    /// The process whose calls were under way has died, and its calls have ended: a server that takes over waits for
    /// that.
    func callsHaveEnded() {
        for page in 0..<pages(0..<size).count { beingChanged[page].store(0, ordering: .relaxed) }
    }

    /// From now on nothing fails.
    func heal() { healed.store(true, ordering: .relaxed) }

    var sectorCount: Int { Int(size) / Sector.size }

    /// What has been recorded, with the moment from which it is durable. Nobody uses the image meanwhile.
    var history: [ImageRecord] {
        var history = (0..<recorded.load(ordering: .relaxed)).map { records[$0] }
        RecordingImage.judgeDurability(&history)
        return history
    }

    /// The values of all sectors now.
    var values: [UInt32?] {
        (0..<sectorCount).map { Sector.load(memory + $0 * Sector.size, sector: $0) }
    }

    /// Records the beginning of a call.
    /// - Returns: The record's number.
    private func begin(_ record: ImageRecord) -> Int {
        let index = recorded.add(1, ordering: .relaxed).oldValue
        precondition(index < RecordingImage.maxRecords, "a test records too much")
        (records + index).initialize(to: record)
        return index
    }

    /// A random generator for one call.
    private func arrive() -> SplitMix64 {
        var random = SplitMix64(seed: seed ^ 0x5EED, stream: calls.add(1, ordering: .relaxed).newValue)
        delay(&random)
        return random
    }

    /// Takes some time: before the work, or between the work and the answer.
    private func delay(_ random: inout SplitMix64) { Fate.delay(&random, upTo: faults.maxDelay) }

    private func fails(_ random: inout SplitMix64, onceIn times: Int) -> Bool {
        !healed.load(ordering: .relaxed) && Fate.fails(&random, onceIn: times)
    }

    private func pages(_ range: Range<Int64>) -> Range<Int> {
        Int(range.lowerBound) / 4096..<Int(range.upperBound + 4095) / 4096
    }

    private func clipped(_ pieces: UnsafeBufferPointer<iovec>, _ offset: Int64) -> Range<Int64> {
        let bytes = pieces.reduce(0) { $0 + $1.iov_len }
        verdict.expect(offset % 4096 == 0 && bytes % 4096 == 0 && offset < size, "pieces are base pages of the image")
        return offset..<min(offset + Int64(bytes), size)
    }

    // MARK: - Reading

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        var random = arrive()
        let range = clipped(pieces, offset)
        verdict.expect(pieces.areDisjoint, "each piece has memory of its own")
        let sink = sink(pieces, at: Int(offset))
        checkUnchanged(pieces, range, sink)
        if fails(&random, onceIn: faults.readFailsOnceIn) { throw AccessError(EIO) }
        var position = Int(offset)
        for piece in pieces {
            if isReadOver(piece, at: position, sink) {
                memset(piece.iov_base, 0xEE, piece.iov_len)
            } else {
                let inside = max(0, min(piece.iov_len, Int(size) - position))
                memcpy(piece.iov_base, memory + position, inside)
                memset(piece.iov_base + inside, 0, piece.iov_len - inside)
            }
            position += piece.iov_len
        }
        Fate.letOthersRun(&random, onceIn: 2)
        checkUnchanged(pieces, range, sink)
    }

    private func checkUnchanged(
        _ pieces: UnsafeBufferPointer<iovec>, _ range: Range<Int64>, _ sink: Range<FlexpageID>
    ) {
        var position = Int(range.lowerBound)
        for piece in pieces {
            if !isReadOver(piece, at: position, sink) {
                for page in pages(Int64(position)..<min(Int64(position + piece.iov_len), range.upperBound)) {
                    let isUnchanged = beingChanged[page].load(ordering: .relaxed) == 0
                    verdict.expect(isUnchanged, "page \(page) is read while it is written")
                }
            }
            position += piece.iov_len
        }
    }

    /// True if nobody wants what is read into `piece`: its frame belongs to another page than the one at `position`, or
    /// to the sink.
    private func isReadOver(_ piece: iovec, at position: Int, _ sink: Range<FlexpageID>) -> Bool {
        guard let paging else { return false }
        let frame = frame(of: piece, in: paging)
        return sink.contains(frame) || paging.table[frame].pointee.key.page != UInt64(position / BasePage.size)
    }

    /// The frames of the flexpage that takes what is read in vain. It begins with the first such piece, as the flexpage
    /// of the read's first page. Its other frames may have stale keys, and so the ones of the pages read in vain.
    private func sink(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int) -> Range<FlexpageID> {
        guard let paging else { return 0..<0 }
        var position = offset
        for piece in pieces {
            let frame = frame(of: piece, in: paging)
            if position > offset, paging.table[frame].pointee.key.page == UInt64(offset / BasePage.size) {
                return frame..<frame + FlexpageID(paging.table.region(of: frame).frames)
            }
            position += piece.iov_len
        }
        return 0..<0
    }

    private func frame(of piece: iovec, in paging: Pages) -> FlexpageID {
        FlexpageID((piece.iov_base - paging.memory.base) / BasePage.size)
    }

    // MARK: - Writing

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        try write(pieces, clipped(pieces, offset))
    }

    private func write(_ pieces: UnsafeBufferPointer<iovec>, _ range: Range<Int64>) throws(AccessError) {
        let values = sectorValues(pieces, range)
        let first = Int(range.lowerBound) / Sector.size
        beginChange(range)
        if faults.clearsFirst { clear(first..<first + values.count) }
        let index = begin(
            ImageRecord(kind: .write, start: clock.tick(), sectors: first..<first + values.count, values: values))
        tell(range, asHole: false)
        var random = arrive()
        let hasFailed = fails(&random, onceIn: faults.writeFailsOnceIn)
        let count = hasFailed ? random.pick(0...values.count) : values.count
        copyOut(pieces, at: Int(range.lowerBound), bytes: count * Sector.size, &random)
        verdict.expect(sectorValues(pieces, range) == values, "bytes changed on their way out at \(range)")
        endChange(range)
        end(index, reaching: count, hasFailed: hasFailed)
        delay(&random)
        if hasFailed { throw AccessError(random.once(in: 2) ? EIO : ENOSPC) }
    }

    let partUnit: Int? = Sector.size

    func writeParts(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        let bytes = pieces.reduce(0) { $0 + $1.iov_len }
        let areWhole = pieces.allSatisfy { $0.iov_len % Sector.size == 0 && Int(bitPattern: $0.iov_base) % 4096 == 0 }
        verdict.expect(areWhole && offset % Int64(Sector.size) == 0, "parts are whole sectors in memory of their own")
        verdict.expect(offset + Int64(bytes) <= size, "parts lie in the image")
        let inner = pieces.dropFirst().dropLast()
        verdict.expect(inner.allSatisfy { $0.iov_len % 4096 == 0 }, "only the ends are parts of pages")
        try write(pieces, offset..<offset + Int64(bytes))
    }

    /// What is wrong if `faults.clearsFirst`.
    private func clear(_ sectors: Range<Int>) {
        let values = Array(repeating: Sector.zeroes, count: sectors.count)
        let index = begin(ImageRecord(kind: .write, start: clock.tick(), sectors: sectors, values: values))
        memset(memory + sectors.lowerBound * Sector.size, 0, sectors.count * Sector.size)
        end(index, reaching: sectors.count, hasFailed: false)
    }

    /// Records the end of a write or zero, which has reached its first `count` sectors.
    private func end(_ index: Int, reaching count: Int, hasFailed: Bool) {
        let record = records + index
        record.pointee.sectors = record.pointee.sectors.prefix(count)
        record.pointee.values = Array(record.pointee.values.prefix(count))
        record.pointee.hasFailed = hasFailed
        record.pointee.end = clock.tick()
    }

    /// The values of the sectors of `range` that lie in `pieces`.
    private func sectorValues(_ pieces: UnsafeBufferPointer<iovec>, _ range: Range<Int64>) -> [UInt32] {
        var values: [UInt32] = []
        values.reserveCapacity(range.count / Sector.size)
        var sector = Int(range.lowerBound) / Sector.size
        let end = Int(range.upperBound) / Sector.size
        for piece in pieces {
            for place in stride(from: 0, to: piece.iov_len, by: Sector.size) where sector < end {
                let value = Sector.load(UnsafeRawPointer(piece.iov_base!) + place, sector: sector)
                verdict.expect(value != nil, "sector \(sector) goes out torn")
                values.append(value ?? UInt32.max)
                sector += 1
            }
        }
        return values
    }

    private func copyOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int, bytes: Int, _ random: inout SplitMix64) {
        var (position, left) = (offset, bytes)
        for piece in pieces {
            let count = min(left, piece.iov_len)
            memcpy(memory + position, piece.iov_base, count)
            position += count
            left -= count
            Fate.letOthersRun(&random, onceIn: 4)
        }
    }

    private func beginChange(_ range: Range<Int64>) {
        for page in pages(range) {
            let before = beingChanged[page].exchange(1, ordering: .relaxed)
            verdict.expect(before == 0 || isWrittenTwice, "page \(page) is written by two calls at once")
        }
    }

    private func endChange(_ range: Range<Int64>) {
        for page in pages(range) { beingChanged[page].store(0, ordering: .relaxed) }
    }

    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {
        if onlyIfFast, !faults.canZeroFast { throw AccessError(EOPNOTSUPP) }
        try makeZero(range, makesHole: mayTrim && faults.canTrim)
    }

    func trim(_ range: Range<Int64>) throws(AccessError) {
        if !faults.canTrim { throw AccessError(EOPNOTSUPP) }
        verdict.expect(range.lowerBound % 4096 == 0, "a trim begins on a base page")
        verdict.expect(range.upperBound % 4096 == 0 || range.upperBound == size, "a trim ends on a base page")
        try makeZero(range, makesHole: true)
    }

    private func makeZero(_ range: Range<Int64>, makesHole: Bool) throws(AccessError) {
        let start = clock.tick()
        verdict.expect(range.lowerBound >= 0 && range.upperBound <= size, "zeroes stay inside the image")
        let sectors = Int(range.lowerBound) / Sector.size..<Int(range.upperBound) / Sector.size
        let values = Array(repeating: Sector.zeroes, count: sectors.count)
        let index = begin(ImageRecord(kind: .write, start: start, sectors: sectors, values: values))
        beginChange(range)
        var random = arrive()
        let hasFailed = fails(&random, onceIn: faults.zeroFailsOnceIn)
        if !hasFailed {
            memset(memory + Int(range.lowerBound), 0, range.count)
            if makesHole { tell(range, asHole: true) }
        }
        endChange(range)
        end(index, reaching: hasFailed ? 0 : sectors.count, hasFailed: hasFailed)
        if hasFailed { throw AccessError(EIO) }
        delay(&random)
    }

    /// From now on the base pages of `range` are reported as a hole, or as data. It begins and ends with base pages or
    /// the image.
    private func tell(_ range: Range<Int64>, asHole isHole: Bool) {
        for page in pages(range) { holes[page].store(isHole ? 1 : 0, ordering: .relaxed) }
    }

    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        var random = arrive()
        if fails(&random, onceIn: faults.readFailsOnceIn) { throw AccessError(EIO) }
        for page in pages(range) {
            let isHole = holes[page].load(ordering: .relaxed) == 1
            let part = (Int64(page) * 4096..<Int64(page + 1) * 4096).clamped(to: range)
            // What it has seen may be out of date by the time it reports it.
            if random.once(in: 4) { delay(&random) }
            guard report(Extent(part, isHole ? .hole : .data)) else { return }
        }
    }

    // MARK: - Durability

    func makeDurable() throws(AccessError) {
        let start = clock.tick()
        var random = arrive()
        let hasFailed = fails(&random, onceIn: faults.syncFailsOnceIn)
        _ = begin(ImageRecord(kind: .sync, start: start, end: clock.tick(), hasFailed: hasFailed))
        delay(&random)
        if hasFailed { throw AccessError(EIO) }
    }

    /// A write is durable from the end of the first good sync that began after it. It never is if a failed sync may
    /// have been the one to cover it: what a failed sync has dropped, no later one brings back.
    private static func judgeDurability(_ history: inout [ImageRecord]) {
        let syncs = history.filter { $0.kind == .sync }.sorted { $0.start < $1.start }
        for index in history.indices where history[index].kind == .write {
            let end = history[index].end
            guard let good = syncs.first(where: { !$0.hasFailed && $0.start > end }) else { continue }
            let isDropped = syncs.contains { $0.hasFailed && $0.end > end && $0.start < good.start }
            if !isDropped { history[index].durableAt = good.end }
        }
    }
}
