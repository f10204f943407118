import Glibc
import TestSupport
import Testing

@testable import Paging

/// Blocks of the arena are closed and opened again while Regions are taken and given.
@Suite(.oneThread) struct ClosedBlocksTests {
    /// Random takes and gives, with blocks of any size. Nothing of a closed block is handed out. What is given back of
    /// it is withheld. Opened again, it is free, and in the end the arena is whole.
    @Test(arguments: 1...30 as ClosedRange<UInt64>) func nothingIsHandedOutOfThem(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let backing = GuardedBacking(blockBytes: 4096 << random.pick(0...9))
        let memory = try Memory(bytes: random.pick(5 << 20...9 << 20), backing: backing)
        let (grid, frames) = (memory.grid, memory.metadata.frames)
        #expect(grid.count > 0)
        var (closed, out): (Set<Int>, [Region]) = ([], [])
        for step in 0..<800 {
            switch random.pick(0...5) {
            case 0:
                let block = random.pick(0...grid.count - 1)
                if closed.insert(block).inserted { memory.close(block) }
            case 1:
                if let block = closed.randomElement(using: &random) {
                    closed.remove(block)
                    memory.reopen(block)
                }
            case 2, 3:
                if let region = memory.take(maxOrder: random.pick(0...Region.maxOrder)) {
                    let isSound = (region.first..<region.end).allSatisfy { frame in
                        grid.block(of: frame).map { !closed.contains($0) } ?? true
                    }
                    #expect(isSound, "step \(step): a Region of a closed block is handed out")
                    out.append(region)
                }
            default:
                if !out.isEmpty { memory.give(out.remove(at: random.pick(0...out.count - 1))) }
            }
            let used = out.reduce(0) { $0 + $1.frames }
            let withheld = memory.withheldFrames.count
            #expect(memory.freeFrames + withheld + used == frames)
            #expect(memory.bytesInUse == memory.metadata.bytes + used * 4096)
            let ofBlocks = closed.reduce(0) { $0 + memory.withheldFrames(in: $1) }
            #expect(ofBlocks == withheld)
            if step % 50 == 0 { memory.checkInvariants() }
        }
        for region in out { memory.give(region) }
        for block in closed {
            let withheld = memory.withheldFrames(in: block)
            #expect(withheld == grid.size, "nothing lies in it")
            memory.reopen(block)
        }
        memory.checkInvariants()
        #expect(memory.freeFrames == frames)
        var large = 0
        while memory.take(order: Region.maxOrder) != nil { large += 1 }
        #expect(large == frames / 256, "the arena is not whole again")
    }

    /// Blocks are aligned in the address space, inside the arena, and side by side.
    @Test func theGrid() throws {
        let bytes = 1 << 16
        let base = UnsafeMutableRawPointer(bitPattern: 37 * 4096)!
        let grid = BlockGrid(frames: 100, at: base, blockBytes: bytes)
        #expect(grid == BlockGrid(frames: 100, at: base, blockBytes: bytes))
        #expect((grid.first, grid.size, grid.count) == (11, 16, 5))
        #expect(grid.frames(of: 0) == 11..<27 && grid.frames(of: 4) == 75..<91)
        #expect(grid.block(of: 10) == nil && grid.block(of: 11) == 0 && grid.block(of: 90) == 4)
        #expect(grid.block(of: 91) == nil)
        #expect(BlockGrid(frames: 20, at: base, blockBytes: bytes).count == 0)
        #expect(BlockGrid(frames: 5, at: base, blockBytes: bytes).count == 0)
    }
}
