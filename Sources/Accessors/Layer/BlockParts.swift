/// A range in parts of at most a certain length, which end where blocks do if they are long enough for that.
struct BlockParts: Sequence, IteratorProtocol {
    private var position: Int64
    private let end: Int64
    private let maxLength: Int64
    private let block: Int64

    init(_ range: Range<Int64>, maxLength: Int64, block: Int64) {
        position = range.lowerBound
        end = range.upperBound
        self.maxLength = maxLength
        self.block = block
    }

    mutating func next() -> Range<Int64>? {
        guard position < end else { return nil }
        let begin = position
        position = Swift.min(begin + maxLength, end)
        let aligned = position / block * block
        if position < end, aligned > begin { position = aligned }
        return begin..<position
    }
}
