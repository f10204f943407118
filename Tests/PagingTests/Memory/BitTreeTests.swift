import TestSupport
import Testing

@testable import Paging

/// A BitTree is a set of integers that knows its minimum. The model is a Set.
@Suite struct BitTreeTests {
    /// Around each width at which a level, or a word of a level, is added.
    static let capacities = [1, 2, 63, 64, 65, 127, 128, 4095, 4096, 4097, 262_143, 262_144, 262_145, 300_000]

    /// Random inserts and removes. Members, their minimum and their number are the model's after every step.
    @Test(arguments: capacities) func agreesWithASet(capacity: Int) {
        let space = TreeSpace(capacity)
        let tree = space.tree
        var model: Set<Int> = []
        var random = SplitMix64(seed: UInt64(capacity))
        for _ in 0..<400 {
            let member = random.once(in: 4) ? min(63, capacity - 1) : random.pick(0...capacity - 1)
            #expect(tree.contains(member) == model.contains(member))
            if model.contains(member) {
                tree.remove(member)
                model.remove(member)
            } else {
                tree.insert(member)
                model.insert(member)
            }
            #expect(tree.first == model.min())
        }
        #expect(tree.count == model.count)
    }

    /// All members in, then always the minimum out: they come in ascending order, and nothing is left behind.
    @Test(arguments: [1, 64, 65, 4097]) func drainsInOrder(capacity: Int) {
        let space = TreeSpace(capacity)
        let tree = space.tree
        for member in (0..<capacity).reversed() { tree.insert(member) }
        #expect(tree.count == capacity)
        for member in 0..<capacity {
            #expect(tree.first == member)
            tree.remove(member)
        }
        #expect(tree.first == nil)
        #expect(space.isZero)
    }

    /// It keeps to the words that it asked for.
    @Test(arguments: capacities) func staysInsideItsWords(capacity: Int) {
        let space = TreeSpace(capacity)
        space.tree.insert(capacity - 1)
        if capacity > 1 { space.tree.insert(0) }
        #expect(space.isFenceWhole)
    }
}

/// A BitTree's words, zero at first, and one more behind them that it must not touch.
private final class TreeSpace {
    let tree: BitTree
    private let words: UnsafeMutablePointer<UInt64>
    private let count: Int
    private static let fence: UInt64 = 0xFEED_FACE_CAFE_BEEF

    init(_ capacity: Int) {
        count = BitTree.words(capacity: capacity)
        words = .allocate(capacity: count + 1)
        words.initialize(repeating: 0, count: count)
        words[count] = TreeSpace.fence
        tree = BitTree(capacity: capacity, words: words)
    }

    deinit { words.deallocate() }

    var isZero: Bool { (0..<count).allSatisfy { words[$0] == 0 } }
    var isFenceWhole: Bool { words[count] == TreeSpace.fence }
}
