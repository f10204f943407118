import Glibc
import Testing

@testable import Paging

/// What a client may ask for, and the answers.
@Suite struct PagerTests {
    /// Ranges outside the image, by a byte or by all that an Int64 holds, are EINVAL and touch nothing. Those that end
    /// at its end are served.
    @Test(arguments: [1, 511, 4095, 4096, 4097, 1 << 20, 1 << 20 | 777, 1 << 50 | 1] as [Int64])
    func rangesAreChecked(size: Int64) throws {
        let rig = try Rig(image: MemoryImage(size: size))
        for offset in [-1, Int64.min, size, size + 1, Int64.max] {
            #expect(rig.readError(1, at: offset) == AccessError(EINVAL))
        }
        #expect(rig.readError(2, at: size - 1) == AccessError(EINVAL))
        #expect(throws: AccessError(EINVAL)) { try rig.pager.populate(size - 1..<size + 1) }
        #expect(throws: AccessError(EINVAL)) { try rig.pager.populate(0..<Int64.max) }
        #expect(rig.image.reads.load(ordering: .relaxed) == 0)
        #expect(try rig.reads(1, at: size - 1))
        #expect(try rig.reads(Int(min(size, 100)), at: max(0, size - 100)))
        try rig.end()
    }

    /// A read of no bytes succeeds anywhere from the beginning to the end.
    @Test func emptyRangesAreServed() throws {
        let rig = try Rig(image: MemoryImage(size: 5000))
        for offset in [0, 1, 4096, 5000] as [Int64] {
            #expect(rig.readError(0, at: offset) == nil)
            try rig.pager.populate(offset..<offset)
        }
        #expect(rig.readError(0, at: 5001) == AccessError(EINVAL))
        #expect(rig.readError(0, at: -1) == AccessError(EINVAL))
        #expect(rig.image.reads.load(ordering: .relaxed) == 0)
        try rig.end()
    }

    /// An empty image has no byte to read.
    @Test func anEmptyImageIsEmpty() throws {
        let rig = try Rig(image: MemoryImage(size: 0))
        #expect(rig.readError(0, at: 0) == nil)
        #expect(rig.readError(1, at: 0) == AccessError(EINVAL))
        try rig.end()
    }

    /// Reads of every kind around the borders of base pages, leaves, chunks and the tail give the image's bytes.
    @Test func bordersAreRight() throws {
        let size: Int64 = 2 << 20 | 1234
        let rig = try Rig(memory: 4 << 20, image: MemoryImage(size: size))
        for border in [4096, 32768, 1 << 20, 2 << 20, size] as [Int64] {
            for before in [0, 1, 511, 4096, 5000] as [Int64] {
                for after in [0, 1, 512, 4095] as [Int64] {
                    let begin = max(0, border - before)
                    let count = Int(min(border + after, size) - begin)
                    #expect(try rig.reads(count, at: begin), "\(count) bytes at \(begin)")
                }
            }
        }
        #expect(try rig.reads(Int(size), at: 0))
        try rig.end()
    }

    /// Beyond the image's end a page holds zeroes, not what the frame held before: nothing leaks into a grown copy.
    @Test func theTailIsZeroes() throws {
        let rig = try Rig(image: MemoryImage(size: 4096 * 300 + 5))
        for page in 0..<300 as Range<Int64> { try rig.pager.populate(page * 4096..<page * 4096 + 1) }
        try rig.pager.populate(4096 * 300..<4096 * 300 + 5)
        let id = try #require(rig.flexpage(at: 300))
        let memory = rig.pages.table.memory(of: id)
        for index in 5..<4096 { #expect(memory.load(fromByteOffset: index, as: UInt8.self) == 0) }
        try rig.end()
    }

    /// `populate` brings in what a read then finds, and reports the error of a page that cannot be read.
    @Test func populateMakesResident() throws {
        let rig = try Rig(memory: 4 << 20, image: MemoryImage(size: 2 << 20, faults: Faults(badPages: [300])))
        try rig.pager.populate(0..<1 << 20)
        let reads = rig.image.reads.load(ordering: .relaxed)
        #expect(try rig.reads(1 << 20, at: 0))
        #expect(rig.image.reads.load(ordering: .relaxed) == reads)
        #expect(throws: AccessError(EIO)) { try rig.pager.populate(1 << 20..<2 << 20) }
        try rig.end()
    }
}
