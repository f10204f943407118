import Glibc
import TestSupport
import Testing

@testable import Paging

/// The arena hands Regions out and takes them back. The model is a list of what is out.
@Suite struct MemoryTests {
    /// Sizes from the minimum on, odd ones too: the last Regions of an arena can be cut off anywhere.
    static let sizes = [1 << 20, 1 << 20 | 4095, 1_111_111, 3 << 20, 4 << 20 | 12345, 16 << 20 | 1]

    /// Random takes and gives of every order. No two Regions that are out overlap. Each is aligned and inside the
    /// arena. Free frames add up, and when everything is given back the arena is whole again.
    @Test(arguments: sizes) func handsOutWhatIsFree(bytes: Int) throws {
        let memory = try Memory(bytes: bytes)
        var model = RegionModel(frames: memory.metadata.frames)
        var random = SplitMix64(seed: UInt64(bytes))
        for step in 0..<600 {
            if random.once(in: 2) || model.out.isEmpty {
                let order = random.pick(0...Region.maxOrder)
                if let region = random.once(in: 2) ? memory.take(order: order) : memory.take(maxOrder: order) {
                    let isSound = model.take(region)
                    #expect(isSound, "a Region overlaps another or is not aligned")
                }
            } else {
                memory.give(model.giveAny(&random))
            }
            #expect(memory.freeFrames == model.free)
            if step % 50 == 0 { memory.checkInvariants() }
        }
        while !model.out.isEmpty { memory.give(model.giveAny(&random)) }
        memory.checkInvariants()
        #expect(memory.freeFrames == memory.metadata.frames)
        let (orders, fresh) = (RegionModel.drain(memory), RegionModel.drain(try Memory(bytes: bytes)))
        #expect(orders == fresh, "not whole again")
    }

    /// `take(order:)` gives exactly that order or nothing; `maxOrder` gives something as long as there is a frame.
    @Test(arguments: sizes) func saysNoWhenThereIsNone(bytes: Int) throws {
        let memory = try Memory(bytes: bytes)
        var singles: [Region] = []
        while let region = memory.take(maxOrder: 0) { singles.append(region) }
        #expect(singles.count == memory.metadata.frames)
        #expect(memory.freeFrames == 0)
        #expect(memory.take(order: 0) == nil)
        // Every second frame is free: nothing larger than a frame is available.
        for region in singles where region.first % 2 == 0 { memory.give(region) }
        #expect(memory.take(order: 1) == nil)
        #expect(memory.take(maxOrder: Region.maxOrder)?.order == 0)
    }

    /// Free buddies join, whatever the order in which they come back, so that the largest Regions are available again.
    @Test(arguments: 1...20) func buddiesJoin(seed: UInt64) throws {
        let memory = try Memory(bytes: 8 << 20)
        var random = SplitMix64(seed: seed)
        var singles: [Region] = []
        while let region = memory.take(order: 0) { singles.append(region) }
        singles.shuffle(using: &random)
        for region in singles { memory.give(region) }
        memory.checkInvariants()
        var large = 0
        while memory.take(order: Region.maxOrder) != nil { large += 1 }
        #expect(large == memory.metadata.frames / 256)
    }

    /// A block of any order in the arena is partly in use. Exactly what is free of it is counted and taken, and nothing
    /// outside it. Given back frame by frame, it is whole again.
    @Test(arguments: sizes) func takesWhatIsFreeOfABlock(bytes: Int) throws {
        let memory = try Memory(bytes: bytes)
        var model = RegionModel(frames: memory.metadata.frames)
        var random = SplitMix64(seed: UInt64(bytes), stream: 1)
        for round in 0..<60 {
            for _ in 0..<random.pick(1...30) {
                if random.once(in: 3), model.out.count > 1 {
                    memory.give(model.giveAny(&random))
                } else if let region = memory.take(maxOrder: random.pick(0...4)) {
                    let isSound = model.take(region)
                    #expect(isSound)
                }
            }
            let mine = try #require(model.out.randomElement(using: &random))
            var block = mine
            for _ in 0..<random.pick(0...Region.maxOrder)
            where block.order < Region.maxOrder && Int(block.parent.end) <= memory.metadata.frames {
                block = block.parent
            }
            let free = (block.first..<block.end).filter { model.isFree($0) }
            let freeFrames = memory.freeFrames(in: block)
            #expect(freeFrames == free.count, "round \(round)")
            var taken = FrameSet(mine)
            memory.takeFree(in: block, addingTo: &taken)
            memory.checkInvariants()
            #expect(memory.freeFrames == model.free - free.count)
            #expect(
                (block.first..<block.end).allSatisfy { taken.contains($0) == (mine.contains($0) || model.isFree($0)) })
            let freeFramesLeft = memory.freeFrames(in: block)
            #expect(freeFramesLeft == 0)
            for frame in free.shuffled(using: &random) { memory.give(Region(first: frame, order: 0)) }
            memory.checkInvariants()
            #expect(memory.freeFrames == model.free)
        }
        while !model.out.isEmpty { memory.give(model.giveAny(&random)) }
        let (orders, fresh) = (RegionModel.drain(memory), RegionModel.drain(try Memory(bytes: bytes)))
        #expect(orders == fresh, "not whole again")
    }

    /// Every frame's memory is a page of its own, inside the mapping and behind the metadata.
    @Test func addressesArePages() throws {
        let memory = try Memory(bytes: 1 << 20 | 5000)
        let frames = memory.metadata.frames
        #expect(memory.metadata.bytes + frames * BasePage.size <= memory.bytes)
        for frame in 0..<frames {
            let address = memory.address(ofFrame: UInt32(frame))
            #expect(UInt(bitPattern: address) % 4096 == 0)
            #expect(address == memory.base + frame * 4096)
            memset(address, Int32(frame & 0xFF), 4096)
        }
        memory.checkInvariants()
        #expect(memory.freeFrames == frames, "writing all frames spoils no table")
    }

    /// Bytes in use are the metadata and the Regions that are out. The peak stays when everything comes back.
    @Test func countsBytes() throws {
        let memory = try Memory(bytes: 2 << 20)
        #expect(memory.bytesInUse == memory.metadata.bytes)
        let taken = memory.take(order: 5)
        let region = try #require(taken)
        #expect(memory.bytesInUse == memory.metadata.bytes + 32 * 4096)
        memory.give(region)
        #expect(memory.bytesInUse == memory.metadata.bytes)
        #expect(memory.peakBytesInUse == memory.metadata.bytes + 32 * 4096)
    }

    /// Too little is EINVAL, and so is more than there are frame numbers for. (What the machine cannot map is ENOMEM.
    /// The tests of starts see that, because it takes a limit of the process.)
    @Test func refusesWhatCannotBe() {
        for bytes in [-1, 0, 4096, Memory.minBytes - 1] {
            #expect(throws: AccessError(EINVAL)) { _ = try Memory(bytes: bytes) }
        }
        #expect(throws: AccessError(EINVAL)) { _ = try Memory(bytes: Memory.maxBytes + 1) }
    }

    /// Many threads take and give at once. No thread gets what another has: each writes its own Regions and finds them
    /// unchanged. Everything comes back.
    @Test func threadsGetRegionsOfTheirOwn() throws {
        let pages = try Pages(memory: 2 << 20)
        let verdict = Verdict()
        Thread.run(4) { number in
            var random = SplitMix64(seed: 99, stream: UInt64(number))
            var mine: [Region] = []
            for _ in 0..<500 {
                if random.once(in: 2), let region = pages.memory.take(maxOrder: random.pick(0...5)) {
                    pages.memory.address(ofFrame: region.first).storeBytes(of: number, as: Int.self)
                    mine.append(region)
                } else if let region = mine.popLast() {
                    let found = pages.memory.address(ofFrame: region.first).load(as: Int.self)
                    verdict.expect(found == number, "a Region was handed out twice")
                    pages.memory.give(region)
                }
            }
            for region in mine { pages.memory.give(region) }
        }
        verdict.report("4 threads")
        pages.memory.checkInvariants()
        #expect(pages.memory.freeFrames == pages.memory.metadata.frames)
    }
}

/// The Regions that are out of an arena.
private struct RegionModel {
    private(set) var out: [Region] = []
    private var taken: [Bool]
    var free: Int { taken.count { !$0 } }
    func isFree(_ frame: UInt32) -> Bool { Int(frame) < taken.count && !taken[Int(frame)] }

    init(frames: Int) { taken = Array(repeating: false, count: frames) }

    mutating func take(_ region: Region) -> Bool {
        let frames = Int(region.first)..<Int(region.first) + region.frames
        guard frames.upperBound <= taken.count, frames.lowerBound % region.frames == 0 else { return false }
        for frame in frames {
            if taken[frame] { return false }
            taken[frame] = true
        }
        out.append(region)
        return true
    }

    mutating func giveAny(_ random: inout SplitMix64) -> Region {
        out.swapAt(random.pick(0...out.count - 1), out.count - 1)
        let region = out.removeLast()
        for frame in Int(region.first)..<Int(region.first) + region.frames { taken[frame] = false }
        return region
    }

    /// The orders of all available Regions, the largest first.
    static func drain(_ memory: borrowing Memory) -> [UInt8] {
        var orders: [UInt8] = []
        while let region = memory.take(maxOrder: Region.maxOrder) { orders.append(region.order) }
        return orders
    }
}
