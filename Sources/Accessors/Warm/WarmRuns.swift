import Paging

/// The runs of one image in a WarmList, the warmest first. They stay packed: each is unpacked when it is looked at.
public struct WarmRuns: Sequence, Sendable {
    private let bands: [UInt8]
    private let size: Int64

    init(_ bands: [UInt8], size: Int64) { (self.bands, self.size) = (bands, size) }

    public func makeIterator() -> Iterator { Iterator(bands, size: size) }

    public struct Iterator: IteratorProtocol {
        private var reader: WarmReader
        private let pageCount: UInt64
        /// The warmth that the next band must be below.
        private var limit = UInt64(ResidentRun.maxWarmth) + 1
        /// Runs left of the band.
        private var left: UInt64 = 0
        /// Where the run before ended.
        private var end: UInt64 = 0

        fileprivate init(_ bands: [UInt8], size: Int64) {
            reader = WarmReader(bands[...])
            pageCount = (UInt64(size) + UInt64(BasePage.size) - 1) / UInt64(BasePage.size)
        }

        /// A list was checked when it was read, so it ends where it is at its end.
        public mutating func next() -> ResidentRun? { try? read() }

        /// - Throws: What is wrong with the bands.
        mutating func read() throws(WarmError) -> ResidentRun? {
            if left == 0 {
                guard !reader.isAtEnd else { return nil }
                guard limit > 0 else { throw WarmList.damaged }
                limit = try reader.number(upTo: limit - 1)
                left = try reader.number(upTo: UInt64(reader.left / 2))
                guard left > 0 else { throw WarmList.damaged }
                end = 0
            }
            left -= 1
            let begin = end + (try reader.number(upTo: pageCount - end))
            guard begin < pageCount else { throw WarmList.damaged }
            end = begin + (try reader.number(upTo: pageCount - begin - 1)) + 1
            return ResidentRun(begin..<end, warmth: UInt8(limit))
        }
    }
}
