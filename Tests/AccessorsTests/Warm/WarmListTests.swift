import Paging
import TestSupport
import Testing

@testable import Accessors

/// The format of a warm file, and whatever else may be in one.
@Suite struct WarmListTests {
    private static let runs = [
        ResidentRun(1000..<1256, warmth: 15), ResidentRun(4..<5, warmth: 9), ResidentRun(6..<400, warmth: 9),
        ResidentRun(0..<1, warmth: 0), ResidentRun(262_143..<262_144, warmth: 0),
    ]

    private func list() -> WarmList {
        var list = WarmList()
        list.set(WarmList.Entry(name: "a b.img", size: 1 << 30, runs: WarmListTests.runs))
        list.set(WarmList.Entry(name: "", size: 5, runs: [ResidentRun(0..<1, warmth: 3)]))
        list.set(WarmList.Entry(name: "ä", size: 0, runs: []))
        return list
    }

    /// What was written is read, and takes a few bytes a run.
    @Test func thereAndBack() throws {
        let list = list()
        let read = try WarmList(list.bytes)
        #expect(read == list)
        #expect(read.entries.map(\.name) == ["a b.img", "", "ä"])
        #expect(read.entries.map(\.size) == [1 << 30, 5, 0])
        #expect(Array(read.entries[0].runs) == WarmListTests.runs)
        #expect(Array(read.entries[1].runs) == [ResidentRun(0..<1, warmth: 3)])
        #expect(Array(read.entries[2].runs).isEmpty)
        #expect(try WarmList(WarmList().bytes).entries.isEmpty)
        let scattered = (0..<10_000 as Range<UInt64>).map { ResidentRun($0 * 50..<$0 * 50 + 1, warmth: 8) }
        var large = WarmList()
        large.set(WarmList.Entry(name: "", size: 4 << 30, runs: scattered))
        #expect(large.bytes.count < 20_100)
        #expect(try Array(WarmList(large.bytes).entries[0].runs) == scattered)
    }

    /// The format is what its description says, byte by byte.
    @Test func bytes() {
        var list = WarmList()
        list.set(WarmList.Entry(name: "x", size: 1 << 20, runs: [ResidentRun(200..<202, warmth: 12)]))
        let bytes = list.bytes
        #expect(Array(bytes[..<12]) == Array("FLEXWARM".utf8) + [1, 0, 0, 0])
        #expect(Array(bytes[16...]) == [12, 0, 0, 0, 0, 0, 0, 0, 1, 1, 120, 0x80, 0x80, 0x40, 5, 12, 1, 0xC8, 1, 1])
        // As other programs compute CRC-32C.
        #expect(Array(bytes[12..<16]) == WarmListTests.castagnoli(bytes[..<12] + bytes[16...]))
    }

    /// Bit by bit, from the definition.
    private static func castagnoli(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var sum = UInt32.max
        for byte in bytes {
            for bit in 0..<8 {
                let isOdd = (sum ^ UInt32(byte >> UInt8(bit))) & 1 == 1
                sum = (sum >> 1) ^ (isOdd ? 0x82F6_3B78 : 0)
            }
        }
        return (0..<4).map { UInt8(truncatingIfNeeded: ~sum >> UInt32(8 * $0)) }
    }

    /// An image gets the list of its name, or the one without a name, or the only one.
    @Test func whichEntry() {
        var list = WarmList()
        #expect(list.entry(for: "a") == nil)
        let (one, two) = (WarmList.Entry(name: "a", size: 1, runs: []), WarmList.Entry(name: "b", size: 2, runs: []))
        list.set(one)
        #expect(list.entry(for: "clone") == one && list.entry(for: "") == one)
        list.set(two)
        #expect(list.entry(for: "a") == one && list.entry(for: "clone") == nil && list.entry(for: "") == nil)
        let golden = WarmList.Entry(name: "", size: 3, runs: [])
        list.set(golden)
        #expect(list.entry(for: "a") == one && list.entry(for: "clone") == golden)
        list.set(WarmList.Entry(name: "a", size: 9, runs: []))
        #expect(list.entries.map(\.size) == [2, 3, 9])
    }

    private func complaint(_ bytes: [UInt8]) -> String? {
        do throws(WarmError) {
            _ = try WarmList(bytes)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// Each flipped bit and each missing end is found.
    @Test func flippedAndTorn() {
        let bytes = list().bytes
        for bit in 0..<bytes.count * 8 {
            var flipped = bytes
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(complaint(flipped) != nil, "bit \(bit)")
        }
        for count in 0..<bytes.count { #expect(complaint(Array(bytes[..<count])) != nil, "\(count) bytes") }
        #expect(complaint(bytes + [0]) == "it is damaged")
        #expect(complaint([]) == "it is no warm file")
        #expect(complaint(Array("FLEXWARN".utf8) + bytes[8...]) == "it is no warm file")
        var later = bytes
        later[8] = 2
        #expect(complaint(later) == "its format has version 2; expected version 1")
    }

    /// Whatever a hostile file says, with a checksum that is right, reading it ends with a list that fits its images,
    /// or a sentence.
    @Test(arguments: Seeds.all) func hostile(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let bytes = list().bytes
        for _ in 0..<100 {
            var body = Array(bytes[24...])
            for _ in 0..<random.length(upTo: 4) {
                switch random.length(upTo: 3) {
                case 1: body[Int(random.place(below: Int64(body.count)))] = UInt8.random(in: 0...255, using: &random)
                case 2: body.insert(UInt8.random(in: 0x7E...0x81, using: &random), at: 0)
                default: body.removeLast(min(body.count - 1, random.length(upTo: 5)))
                }
            }
            guard let list = try? WarmList(WarmListTests.file(body)) else { continue }
            for entry in list.entries {
                for run in entry.runs { #expect(run.pages.upperBound * 4096 < UInt64(entry.size) + 4096) }
            }
        }
    }

    private enum Seeds {
        static let all = Array(1...6) as [UInt64]
    }

    /// A file with this body, and a header that fits it.
    private static func file(_ body: [UInt8]) -> [UInt8] {
        let count = (0..<8).map { UInt8(truncatingIfNeeded: body.count >> (8 * $0)) }
        let head = Array("FLEXWARM".utf8) + [1, 0, 0, 0]
        return head + castagnoli((head + count + body)[...]) + count + body
    }

    /// Counts and sizes that would overflow, or take more memory than the file has bytes.
    @Test(
        arguments: [
            // Images without end; a name that is longer than the file; a size that is no size.
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], [0x80, 0x40], [1, 200, 1],
            [1, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0], [1, 0, 0x80],
            // Bits past the 64th; eleven bytes.
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2],
            [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
            // Of an image of a page: warmth 16; no run; two runs in one; past its end; more runs than bytes; twice.
            [1, 0, 0x80, 0x20, 4, 16, 1, 0, 0], [1, 0, 0x80, 0x20, 2, 1, 0], [1, 0, 0x80, 0x20, 6, 1, 2, 0, 0, 0, 0],
            [1, 0, 0x80, 0x20, 4, 1, 1, 1, 0], [1, 0, 0x80, 0x20, 4, 1, 1, 0, 1], [1, 0, 0x80, 0x20, 4, 1, 120, 0, 0],
            [1, 0, 0x80, 0x20, 8, 1, 1, 0, 0, 1, 1, 0, 0], [1, 0, 0x80, 0x20, 8, 0, 1, 0, 0, 0, 1, 0, 0],
            // A name twice; a name that is not UTF-8; something after the end.
            [2, 0, 1, 0, 0, 1, 0], [1, 1, 0xFF, 0, 0], [0, 0],
        ] as [[UInt8]])
    func badNumbers(_ body: [UInt8]) { #expect(complaint(WarmListTests.file(body)) == "it is damaged") }

    /// The same without the mistake.
    @Test func goodNumbers() throws {
        let list = try WarmList(WarmListTests.file([1, 0, 0x80, 0x20, 8, 1, 1, 0, 0, 0, 1, 0, 0]))
        #expect(Array(list.entries[0].runs) == [ResidentRun(0..<1, warmth: 1), ResidentRun(0..<1, warmth: 0)])
    }
}
