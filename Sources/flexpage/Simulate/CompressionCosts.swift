import Glibc
import Paging

/// How much processor time this machine takes to compress base pages of a content and to bring them back, microseconds
/// a page, and how well they compress.
///
/// It is measured with pages from all over the content, more than the processor's own caches hold, in one thread: the
/// medians of some turns. To keep a page is to compress it, and to copy what that gives to its place. To take a page is
/// to copy that together, and to decompress it. The tables of a tier are not in it.
struct CompressionCosts: Equatable {
    /// To compress a page that is kept.
    var keeping = 0.0
    /// To compress a page that turns out to take too much.
    var refusing = 0.0
    /// To bring a page back.
    var taking = 0.0
    /// Pages that have been looked at, and what they were.
    var pages = 0
    var zeroes = 0
    var kept = 0
    /// Bytes of those that are kept, compressed.
    var bytes = 0

    /// The share of the pages that are not zeroes which are worth keeping.
    var keptShare: Double { pages == zeroes ? 0 : Double(kept) / Double(pages - zeroes) }

    /// Pages that are looked at and are not worth keeping.
    var refused: Int { pages - zeroes - kept }

    /// How many times less memory the pages that are not zeroes would take in all, without any overhead.
    var ratio: Double {
        let all = (pages - zeroes) * BasePage.size
        return all == 0 ? 1 : Double(all) / Double(bytes + (pages - zeroes - kept) * BasePage.size)
    }
}

extension CompressionCosts {
    private static let maxSample: UInt64 = 4096
    private static let turns = 5

    /// Measures with a content. About half a second.
    /// - Throws: Why the content cannot be read.
    init(measuring content: ImageContent) throws(ToolFailure) {
        let count = min(content.pages, CompressionCosts.maxSample)
        let sample = Sample(count: Int(count))
        for index in 0..<count {
            sample.add(CompressionCosts.position(of: index, count: count, in: content.pages), of: content)
        }
        if let failure = content.failure { throw failure }
        (pages, zeroes, kept, bytes) = (Int(count), sample.zeroes, sample.kept.count, sample.bytes)
        let runs = (0..<CompressionCosts.turns).map { _ in sample.turn() }
        keeping = CompressionCosts.median(runs.map(\.keeping))
        refusing = CompressionCosts.median(runs.map(\.refusing))
        taking = CompressionCosts.median(runs.map(\.taking))
    }

    /// The page at the beginning of part `index` of the content, which has `count` parts of the same size, to a page.
    static func position(of index: UInt64, count: UInt64, in pages: UInt64) -> UInt64 {
        pages / count * index + pages % count * index / count
    }

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

    /// Pages of a content in memory, and places for what they are compressed to.
    private final class Sample {
        private let memory: UnsafeMutableRawPointer
        private let places: UnsafeMutableRawPointer
        private let buffer = UnsafeMutableRawPointer.allocate(byteCount: LZ4.maxSize, alignment: BasePage.size)
        /// The indices of those that are kept, with their compressed sizes, and of those that are not.
        private(set) var kept: [(index: Int, size: Int)] = []
        private var refused: [Int] = []
        private(set) var zeroes = 0
        private var count = 0

        init(count: Int) {
            memory = .allocate(byteCount: count * BasePage.size, alignment: BasePage.size)
            places = .allocate(byteCount: count * LZ4.maxSize, alignment: BasePage.size)
        }

        deinit {
            memory.deallocate()
            places.deallocate()
            buffer.deallocate()
        }

        var bytes: Int { kept.reduce(0) { $0 + $1.size } }

        func add(_ number: UInt64, of content: ImageContent) {
            let page = memory + count * BasePage.size
            guard content.read(number, into: page) else { return }
            if ImageContent.isZero(page) {
                zeroes += 1
            } else if let size = LZ4.compress(page, into: buffer) {
                kept.append((count, size))
            } else {
                refused.append(count)
            }
            count += 1
        }

        /// Compresses all of them and brings back what is kept. Microseconds a page.
        func turn() -> (keeping: Double, refusing: Double, taking: Double) {
            let keeping = microseconds(each: kept.count) {
                for (index, _) in kept { keep(index) }
            }
            let refusing = microseconds(each: refused.count) {
                for index in refused { _ = LZ4.compress(memory + index * BasePage.size, into: buffer) }
            }
            let taking = microseconds(each: kept.count) {
                for (index, size) in kept { take(index, size) }
            }
            return (keeping, refusing, taking)
        }

        private func keep(_ index: Int) {
            guard let size = LZ4.compress(memory + index * BasePage.size, into: buffer) else {
                fatalError("the same page compresses again")
            }
            memcpy(places + index * LZ4.maxSize, buffer, size)
        }

        private func take(_ index: Int, _ size: Int) {
            memcpy(buffer, places + index * LZ4.maxSize, size)
            LZ4.decompress(buffer, count: size, into: memory + index * BasePage.size)
        }

        private func microseconds(each count: Int, _ body: () -> Void) -> Double {
            let begin = ThreadClock.nanoseconds
            body()
            return count == 0 ? 0 : Double(ThreadClock.nanoseconds - begin) / 1000 / Double(count)
        }
    }
}
