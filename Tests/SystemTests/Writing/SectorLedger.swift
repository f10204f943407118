import Glibc
import TestSupport

/// What clients have been promised of an image, sector by sector, while many threads write it.
///
/// Each write, zero or trim has a number, its generation. A written sector holds its own number and its generation in
/// every word; generation 0 and a zero read as zeroes. No two threads write one sector, so the generations of a sector
/// come in order. An image may hold of it the generation that was promised, or a later one, answered or not.
final class SectorLedger: @unchecked Sendable {
    /// The promise that an image must keep.
    enum Promise {
        /// Everything that had been answered.
        case answered
        /// Everything that had been answered before a flush began that was answered, and what was answered with FUA.
        case flushed
    }

    static let sectorSize = 512
    let sectors: Int
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var generation = 0
    private var issued: [Int]
    private var answered: [Int]
    private var flushed: [Int]
    private var lastZero: [Int]
    private var flushCount = 0
    private var hasEnded = false

    /// An image of zeroes.
    init(sectors: Int) {
        self.sectors = sectors
        issued = [Int](repeating: 0, count: sectors)
        answered = issued
        flushed = issued
        lastZero = issued
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    private func locked<Result>(_ body: () throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    // MARK: While it is written

    /// A change of the sectors is about to be requested. Returns its generation.
    func begin(_ range: Range<Int>, isZero: Bool = false) -> Int {
        locked {
            generation += 1
            for sector in range {
                issued[sector] = generation
                if isZero { lastZero[sector] = generation }
            }
            return generation
        }
    }

    /// It has been answered.
    func end(_ range: Range<Int>, _ generation: Int, isForced: Bool) {
        locked {
            for sector in range {
                answered[sector] = generation
                if isForced { flushed[sector] = generation }
            }
        }
    }

    /// A flush is about to be requested. Returns what it covers.
    func beginFlush() -> [Int] { locked { answered } }

    /// It has been answered.
    func endFlush(_ covered: [Int]) {
        locked {
            for sector in 0..<sectors where flushed[sector] < covered[sector] { flushed[sector] = covered[sector] }
            flushCount += 1
        }
    }

    /// Flushes answered so far.
    var flushes: Int { locked { flushCount } }

    /// True once the server is about to go, so that requests fail.
    var isOver: Bool {
        get { locked { hasEnded } }
        set { locked { hasEnded = newValue } }
    }

    // MARK: The bytes

    static func bytes(_ range: Range<Int>, _ generation: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count * sectorSize)
        bytes.withUnsafeMutableBytes { bytes in
            for (index, sector) in range.enumerated() {
                let place = bytes.baseAddress! + index * sectorSize
                place.storeBytes(of: word(sector, generation), as: UInt64.self)
                var done = 8
                while done < sectorSize {
                    memcpy(place + done, place, done)
                    done *= 2
                }
            }
        }
        return bytes
    }

    private static func word(_ sector: Int, _ generation: Int) -> UInt64 {
        UInt64(sector + 1) << 40 | UInt64(generation)
    }

    /// Checks that the image keeps the promise, and takes its contents as the beginning of what follows.
    /// - Throws: The sectors that break it.
    /// - Parameter excused: The number of base pages that may break it.
    func check(_ image: [UInt8], keeps promise: Promise, excused: Int = 0) throws {
        precondition(image.count == sectors * Self.sectorSize)
        var violations: [String] = []
        var pages = Set<Int>()
        for sector in 0..<sectors {
            let floor = promise == .answered ? answered[sector] : flushed[sector]
            let found = Self.generation(of: sector, in: image)
            let isKept =
                found.map { $0 == 0 ? lastZero[sector] >= floor : (floor...issued[sector]).contains($0) } ?? false
            if !isKept {
                pages.insert(sector / 8)
                violations.append("\(sector): \(found.map(String.init) ?? "torn"), not \(floor)…\(issued[sector])")
            }
            let next = found ?? 0
            (issued[sector], answered[sector], flushed[sector], lastZero[sector]) = (next, next, next, 0)
        }
        guard pages.count <= excused else {
            throw Trouble("\(violations.count) sectors break the promise: \(violations.prefix(10))")
        }
    }

    /// The generation that the sector holds, or nil if it holds no whole one.
    private static func generation(of sector: Int, in image: [UInt8]) -> Int? {
        image.withUnsafeBytes { image in
            let place = image.baseAddress! + sector * sectorSize
            guard memcmp(place, place + 8, sectorSize - 8) == 0 else { return nil }
            let word = place.load(as: UInt64.self)
            if word == 0 { return 0 }
            let generation = Int(word & (1 << 40 - 1))
            return word == Self.word(sector, generation) ? generation : nil
        }
    }
}
