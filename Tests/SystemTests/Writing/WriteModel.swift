import Glibc
import TestSupport

/// Random commands over several connections, one at a time, and what the image must be after them.
struct WriteModel {
    /// The bytes that the image must have.
    private(set) var bytes: [UInt8]
    private let clients: [Client]
    private var random: SplitMix64
    /// Whether it trims. What a trim leaves alone it knows for blocks of the image, and not for those of other filters.
    var trims = true

    init(_ bytes: [UInt8], _ clients: [Client], seed: UInt64) {
        self.bytes = bytes
        self.clients = clients
        random = SplitMix64(seed: seed)
    }

    mutating func run(_ count: Int) throws {
        for _ in 0..<count { try step() }
        try Bytes.check(try clients[0].read(bytes.count, at: 0), bytes, "all of it")
    }

    private mutating func step() throws {
        let client = clients.randomElement(using: &random)!
        let range = anyRange()
        switch Int.random(in: 0..<16, using: &random) {
        case 0..<6: try write(range, client)
        case 6..<9 where client.canZero: try zero(range, client)
        case 9..<11 where trims: try trim(range, client)
        case 11: try client.flush()
        case 12: try client.cache(range.count, at: range.lowerBound)
        default: try check(range, client)
        }
    }

    /// A range of any length, which begins or ends at an edge of something in half of all cases.
    private mutating func anyRange() -> Range<Int> {
        let length = Int.random(
            in: 1...[16, 600, 5000, 70_000, 1_300_000].randomElement(using: &random)!, using: &random)
        let grain = [1, 512, 4096, 65_536].randomElement(using: &random)!
        let lower = Int.random(in: 0..<bytes.count, using: &random) / grain * grain
        let upper = min(lower + length, bytes.count)
        return Bool.random(using: &random) ? lower..<upper : max(0, bytes.count - (upper - lower))..<bytes.count
    }

    private mutating func flags() -> Client.Flags {
        Int.random(in: 0..<8, using: &random) == 0 ? .forced : []
    }

    private mutating func write(_ range: Range<Int>, _ client: Client) throws {
        var new = [UInt8](repeating: 0, count: range.count)
        let pattern = random.next()
        new.withUnsafeMutableBytes { new in
            for place in new.indices.lazy.filter({ $0 % 7 == 0 }) {
                new[place] = UInt8(truncatingIfNeeded: pattern >> UInt64(place % 57)) | 1
            }
        }
        try client.write(new, at: range.lowerBound, flags())
        Bytes.put(new, into: &bytes, at: range.lowerBound)
    }

    private mutating func zero(_ range: Range<Int>, _ client: Client) throws {
        var flags = flags()
        if Bool.random(using: &random) { flags.insert(.noHole) }
        if Int.random(in: 0..<3, using: &random) == 0, client.canFastZero { flags.insert(.fast) }
        let code = Client.code { try client.zero(range.count, at: range.lowerBound, flags) }
        switch code {
        case nil: Bytes.zero(range, of: &bytes)
        case ENOTSUP where flags.contains(.fast): try check(range, client)
        default: throw Trouble("a zero of \(range) with flags \(flags.rawValue): errno \(code!)")
        }
    }

    /// Whole pages of the range read as zeroes afterwards if the image can have holes, and as before if it cannot. The
    /// rest is as before.
    private mutating func trim(_ range: Range<Int>, _ client: Client) throws {
        try client.trim(range.count, at: range.lowerBound, flags())
        let lower = (range.lowerBound + 4095) / 4096 * 4096
        let upper = range.upperBound == bytes.count ? bytes.count : range.upperBound / 4096 * 4096
        if lower < upper {
            let found = try client.read(upper - lower, at: lower)
            let zeroes = [UInt8](repeating: 0, count: found.count)
            if Bytes.difference(found, zeroes) == nil { Bytes.zero(lower..<upper, of: &bytes) }
        }
        try check(range, client)
    }

    private func check(_ range: Range<Int>, _ client: Client) throws {
        let found = try client.read(range.count, at: range.lowerBound)
        try Bytes.check(found, Array(bytes[range]), at: range.lowerBound)
    }
}
