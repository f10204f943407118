import Testing

@testable import Paging

/// The arithmetic of base pages, leaves and chunks, against the same thing page by page.
@Suite struct PageRangeTests {
    private static let bounds: [UInt64] = [0, 1, 7, 8, 9, 255, 256, 257, 511, 512, 1000, 1 << 40, 1 << 40 | 255]

    private static var ranges: [Range<UInt64>] {
        bounds.flatMap { begin in [0, 1, 2, 7, 8, 9, 255, 256, 257, 600].map { begin..<begin + $0 } }
    }

    /// The parts follow one another, none is empty, each lies in one leaf or chunk, and together they are the range.
    @Test func parts() {
        for range in Self.ranges {
            for size: UInt64 in [8, 256] {
                let parts = size == 8 ? range.leafParts : range.chunkParts
                var next = range.lowerBound
                for part in parts {
                    #expect(part.lowerBound == next && !part.isEmpty)
                    #expect(part.lowerBound / size == (part.upperBound - 1) / size)
                    #expect(part.upperBound == range.upperBound || part.upperBound % size == 0, "as long as can be")
                    next = part.upperBound
                }
                #expect(next == range.upperBound)
            }
            let chunks = Set(range.map { $0 / 256 })
            #expect(range.isInOneChunk == (chunks.count <= 1))
        }
    }

    /// Numbers, bits and neighbours in a leaf and in a chunk.
    @Test func numbersInLeavesAndChunks() {
        for page in Self.bounds {
            #expect(Leaf.index(of: page) == Int(page % 8) && Chunk.index(of: page) == Int(page % 256))
            #expect(Leaf.bit(of: page) == 1 << UInt8(page % 8))
            #expect(Leaf.around(page).contains(page) && Leaf.around(page).count == 8)
            #expect(Leaf.around(page).lowerBound % 8 == 0)
            #expect(Chunk.around(page).contains(page) && Chunk.around(page).count == 256)
            #expect(Chunk.firstPage(of: page) == Chunk.around(page).lowerBound && Chunk.firstPage(of: page) % 256 == 0)
        }
        for range in Self.ranges {
            for part in range.leafParts {
                let bits: UInt8 = part.reduce(0) { bits, page in bits | 1 << UInt8(page % 8) }
                let indices: [Int] = part.map { page in Int(page % 8) }
                #expect(Leaf.bits(of: part) == bits)
                #expect(Array(Leaf.indices(of: part)) == indices)
            }
        }
        #expect(1 << BasePage.shift == BasePage.size)
        #expect(1 << Leaf.shift == Leaf.pages && 1 << Chunk.shift == Chunk.pages)
    }

    /// The base pages that lie wholly in some bytes: each byte that the image has of them is one of these, and that is
    /// not so of their neighbours.
    @Test(arguments: [0, 1, 4095, 4096, 4097, 3 * 4096, 5 * 4096 + 100] as [Int64]) func wholePages(size: Int64) {
        let all: [Int64] = [0, 1, 4095, 4096, 4097, 8191, 8192, 12288, 20480, 20579, size]
        let edges = all.filter { $0 <= size }
        for begin in edges {
            for end in edges where end >= begin {
                let bytes = begin..<end
                let whole = bytes.wholePages(ofImage: size)
                for page in 0..<UInt64(size + 4095) / 4096 {
                    let first = Int64(page) * 4096
                    let isWhole = begin <= first && min(first + 4096, size) <= end && begin < end
                    #expect(whole.contains(page) == isWhole, "page \(page) of \(bytes) of \(size)")
                }
                if !whole.isEmpty {
                    let inner = whole.bytes(ofImage: size)
                    #expect(begin <= inner.lowerBound && inner.upperBound <= end)
                }
                #expect(bytes.startsWithPage == (begin % 4096 == 0))
                #expect(bytes.endsWithPage(ofImage: size) == (end % 4096 == 0 || end == size))
            }
        }
    }
}
