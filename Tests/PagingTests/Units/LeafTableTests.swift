import Testing

@testable import Paging

/// Leaves are handed out fresh and come back: there are as many as frames, and no leaf is handed out twice.
@Suite struct LeafTableTests {
    @Test func handsOutEachLeafOnce() throws {
        let pages = try Pages(memory: 1 << 20)
        let leaves = pages.leaves
        let frames = pages.memory.metadata.frames
        for round in 0..<3 {
            var seen: Set<UInt32> = []
            for number in 0..<frames {
                let id = leaves.take(key: UInt64(number))
                #expect(id != .none && Int(id.raw) <= frames)
                #expect(seen.insert(id.raw).inserted, "round \(round): a leaf was handed out twice")
                #expect(leaves[id].isEmpty && leaves[id].pointee.key == UInt64(number))
                leaves[id].pointee.flexpages[3] = 9
                leaves[id].pointee.dirty = 0xFF
            }
            #expect(leaves.used == frames)
            for raw in seen { leaves.give(LeafID(raw: raw)) }
            #expect(leaves.used == 0)
        }
    }

    /// A leaf tells its image and its first base page, at the ends of what can be numbered too.
    @Test(arguments: [0, 7, 8, 1 << 40, 1 << 48 - 1] as [UInt64]) func knowsItsPlace(page: UInt64) {
        for image: UInt16 in [0, 1, 65534] {
            var leaf = Leaf(key: Leaf.key(of: PageKey(image: image, page: page)))
            withUnsafeMutablePointer(to: &leaf) { leaf in
                #expect(leaf.image == image)
                #expect(leaf.firstPage == page & ~7)
            }
        }
    }
}
