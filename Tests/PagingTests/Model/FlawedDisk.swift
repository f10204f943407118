import Paging

/// A pager with a flaw in front of it, which the oracle and the power loss test must find.
final class FlawedDisk: Disk, @unchecked Sendable {
    enum Flaw: String, CaseIterable {
        /// A flush is answered and not done.
        case flushIsNotDone
        /// A flush that fails is answered with success.
        case flushHidesErrors
        /// A forced write is answered like any other.
        case forceIsIgnored
        /// One write in ten is answered and not done.
        case writesGetLost
        /// Only half of a write's last sector is written.
        case writesAreTorn
        /// A zero is answered and not done.
        case zeroIsNotDone
        /// A trim zeroes the edges that it must leave alone.
        case trimTakesTheEdges
        /// Two reads are answered with the same bytes, whatever was written in between.
        case readsAreStale
        /// A sector that has once been read as zeroes is read as zeroes for ever.
        case zeroesAreKept

        /// True if only a crash shows it.
        var isAboutDurability: Bool {
            self == .flushIsNotDone || self == .flushHidesErrors || self == .forceIsIgnored
        }
    }

    private let pager: Pager
    private let flaw: Flaw
    private let writes = Tally()
    private let kept = Guarded<[Int64: [UInt8]]>([:])

    init(_ pager: Pager, _ flaw: Flaw) {
        self.pager = pager
        self.flaw = flaw
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(AccessError) {
        try pager.read(into: buffer, at: offset)
        if flaw == .zeroesAreKept { keepZeroes(of: buffer, at: offset) }
        guard flaw == .readsAreStale, buffer.count == Sector.size else { return }
        let old = kept.withLock { kept in
            let old = kept.removeValue(forKey: offset)
            if old == nil { kept[offset] = Array(buffer) }
            return old
        }
        if let old { buffer.copyBytes(from: old) }
    }

    private func keepZeroes(of buffer: UnsafeMutableRawBufferPointer, at offset: Int64) {
        kept.withLock { kept in
            for place in stride(from: 0, to: buffer.count, by: Sector.size) {
                let sector = offset + Int64(place)
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[place..<place + Sector.size])
                if kept[sector] != nil { part.initializeMemory(as: UInt8.self, repeating: 0) }
                if part.allSatisfy({ $0 == 0 }) { kept[sector] = [] }
            }
        }
    }

    func populate(_ range: Range<Int64>) throws(AccessError) { try pager.populate(range) }

    func write(from buffer: UnsafeRawBufferPointer, at offset: Int64, forced: Bool) throws(AccessError) {
        if flaw == .writesGetLost, writes.add() % 10 == 0 { return }
        let count = flaw == .writesAreTorn ? buffer.count - 200 : buffer.count
        try pager.write(
            from: UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset,
            forced: forced && flaw != .forceIsIgnored)
    }

    func flush() throws(AccessError) {
        switch flaw {
        case .flushIsNotDone: return
        case .flushHidesErrors: do throws(AccessError) { try pager.flush() } catch {}
        default: try pager.flush()
        }
    }

    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool, forced: Bool) throws(AccessError) {
        if flaw == .zeroIsNotDone { return }
        try pager.zero(range, mayTrim: mayTrim, onlyIfFast: onlyIfFast, forced: forced)
    }

    func trim(_ range: Range<Int64>, forced: Bool) throws(AccessError) {
        if flaw == .trimTakesTheEdges {
            try pager.zero(range, mayTrim: true, onlyIfFast: false, forced: forced)
        } else {
            try pager.trim(range, forced: forced)
        }
    }
}
