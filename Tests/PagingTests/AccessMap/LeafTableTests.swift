import Testing

@testable import Paging

/// Leaves are handed out fresh and come back. There are as many as frames, and no leaf is handed out twice.
@Suite struct LeafTableTests {
    @Test func handsOutEachLeafOnce() throws {
        let pages = try Pages(memory: 1 << 20)
        let leaves = pages.leaves
        let frames = pages.memory.metadata.frames
        for round in 0..<3 {
            var seen: Set<UInt32> = []
            for number in 0..<frames {
                let home = leaves.home(chunk: UInt64(number) &* 0x9E37_79B9_7F4A_7C15, UInt64(number) & 31)
                let id = leaves.take(key: UInt64(number), home: home)
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

    /// A leaf goes to its home if that is free. Leaves of a chunk have adjacent homes, also across the table's end.
    @Test func aLeafIsPutAtItsHome() throws {
        let pages = try Pages(memory: 1 << 20)
        let leaves = pages.leaves
        let frames = UInt64(pages.memory.metadata.frames)
        for hash in [0, 1 << 63, UInt64.max] {
            let homes = (0..<32).map { leaves.home(chunk: hash, $0) }
            let first = UInt64(homes[0].raw - 1)
            for (index, home) in homes.enumerated() {
                #expect(UInt64(home.raw - 1) == (first + UInt64(index)) % frames)
                #expect(leaves.take(key: UInt64(index), home: home) == home)
            }
            let other = leaves.take(key: 99, home: homes[5])
            #expect(other != .none && !homes.contains(other), "if the home is taken another leaf serves")
            for id in homes + [other] { leaves.give(id) }
        }
    }

    /// A leaf tells its image and its first base page, even at the limits of both numbers.
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
