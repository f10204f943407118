/// A set of small integers that finds its smallest member at once: a bitmap, and above it bitmaps of its words that are
/// not zero.
///
/// Insert, remove, contains and first are O(log₆₄ capacity): four words for 16 million members. It takes
/// capacity / 8 bytes and a sixty-fourth more, in memory that its owner provides and that must be zero. Thread rules:
/// its owner locks.
struct BitTree {
    /// One more than the largest member.
    let capacity: Int
    private let words: UnsafeMutablePointer<UInt64>
    /// Where each level begins in `words`. Level 0 has a bit for each member.
    private let levelStarts: InlineArray<5, Int>
    private let levels: Int

    /// The number of words that a tree of `capacity` needs.
    static func words(capacity: Int) -> Int {
        var total = 0
        var width = capacity
        repeat {
            width = (width + 63) / 64
            total += width
        } while width > 1
        return total
    }

    /// - Parameter words: `BitTree.words(capacity:)` words, all zero.
    init(capacity: Int, words: UnsafeMutablePointer<UInt64>) {
        self.capacity = capacity
        self.words = words
        var starts = InlineArray<5, Int>(repeating: 0)
        var count = 0
        var next = 0
        var width = capacity
        repeat {
            starts[count] = next
            count += 1
            width = (width + 63) / 64
            next += width
        } while width > 1
        levelStarts = starts
        levels = count
    }

    func contains(_ member: Int) -> Bool {
        words[member >> 6] & (1 << UInt64(member & 63)) != 0
    }

    func insert(_ member: Int) {
        assert(member < capacity && !contains(member), "a member is inserted once")
        var index = member
        for level in 0..<levels {
            let word = levelStarts[level] + index >> 6
            let before = words[word]
            words[word] = before | 1 << UInt64(index & 63)
            if before != 0 { return }
            index >>= 6
        }
    }

    func remove(_ member: Int) {
        assert(member < capacity && contains(member), "only a member is removed")
        var index = member
        for level in 0..<levels {
            let word = levelStarts[level] + index >> 6
            words[word] &= ~(1 << UInt64(index & 63))
            if words[word] != 0 { return }
            index >>= 6
        }
    }

    /// The smallest member, or nil if there is none.
    var first: Int? {
        guard capacity > 0, words[levelStarts[levels - 1]] != 0 else { return nil }
        var index = 0
        for level in stride(from: levels - 1, through: 0, by: -1) {
            index = index << 6 + words[levelStarts[level] + index].trailingZeroBitCount
        }
        return index
    }

    /// How many members there are. O(capacity / 64); for checks.
    var count: Int {
        let leaves = (capacity + 63) / 64
        return (0..<leaves).reduce(0) { $0 + words[$1].nonzeroBitCount }
    }
}
