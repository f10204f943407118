import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Paging

/// At every size, the tables of paging fit beside the frames into what `memory=` says.
@Suite struct MetadataTests {
    private static var nowhere: UnsafeMutableRawPointer { UnsafeMutableRawPointer(bitPattern: 4096)! }

    /// From the minimum to some GiB, odd sizes too.
    static let sizes: [Int] = {
        var random = SplitMix64(seed: 5)
        var sizes: [Int] = []
        for shift in 20...36 {
            let power = 1 << shift
            sizes += [power, power + 1, power / 2 * 3 - 1]
        }
        for _ in 0..<200 { sizes.append(Pages.minMemory + random.pick(0...(1 << random.pick(1...35)))) }
        return sizes
    }()

    private func bytes(_ frames: Int) -> Int {
        frames * BasePage.size + Metadata(frames: frames, at: MetadataTests.nowhere).bytes
    }

    /// Frames and tables together fit, and one frame more would not: the bound is exact (invariant 8).
    @Test(arguments: sizes) func isTheMaximumThatFits(size: Int) throws {
        let frames = try #require(Metadata.frames(fittingInto: size, atLeast: 64))
        #expect(bytes(frames) <= size)
        #expect(bytes(frames + 1) > size, "\(frames) frames are not the maximum for \(size) bytes")
    }

    /// The memory asked for a number of frames has room for exactly that number: simulations count on it.
    @Test(arguments: sizes.map { $0 / BasePage.size }.filter { $0 >= 256 }) func framesCanBeAskedFor(frames: Int) {
        #expect(Metadata.frames(fittingInto: Pages.memory(forFrames: frames), atLeast: 64) == frames)
    }

    /// The tables take at most 4 % of a memory of 16 MiB or more.
    @Test(arguments: sizes.filter { $0 >= 16 << 20 }) func isASmallShare(size: Int) throws {
        let frames = try #require(Metadata.frames(fittingInto: size, atLeast: 64))
        let tables = Metadata(frames: frames, at: MetadataTests.nowhere).bytes
        #expect(tables * 25 <= size)
    }

    /// The tables follow one another without overlap, each on a cache line, and end before the frames begin.
    @Test(arguments: [64, 65, 235, 4000, 1 << 20]) func tablesDoNotOverlap(frames: Int) {
        let base = MetadataTests.nowhere
        let metadata = Metadata(frames: frames, at: base)
        let tables = MetadataTests.tables(of: metadata).sorted { $0.begin < $1.begin }
        for (table, next) in zip(tables, tables.dropFirst()) {
            #expect(table.begin + UInt(table.bytes) <= next.begin)
        }
        for table in tables { #expect(table.begin % 64 == 0) }
        let last = tables[tables.count - 1]
        #expect(last.begin + UInt(last.bytes) <= UInt(bitPattern: base) + UInt(metadata.bytes))
        #expect(metadata.bytes % BasePage.size == 0)
    }

    /// With too few frames there is no answer.
    @Test func saysNoBelowTheMinimum() {
        #expect(Metadata.frames(fittingInto: 1 << 20, atLeast: 1000) == nil)
        #expect(Metadata.frames(fittingInto: 0, atLeast: 1) == nil)
        #expect(Metadata.frames(fittingInto: Pages.minMemory, atLeast: 64) != nil)
    }

    /// A leaf is a cache line, what the queue knows of an image is another, and a flexpage with its word half of one:
    /// the budget rests on that.
    @Test func recordsAreAsSmallAsTheyLook() {
        #expect(MemoryLayout<Leaf>.stride == 64)
        #expect(MemoryLayout<Flexpage>.stride == 24)
        #expect(MemoryLayout<FlexpageWord>.stride == 8)
        #expect(MemoryLayout<GhostEntry>.stride == 8)
        #expect(MemoryLayout<ImageQueues>.stride == 64, "hits of one image do not wait for misses of another")
        #expect(MemoryLayout<Holding>.stride == 16)
    }

    private static func tables(of metadata: Metadata) -> [(begin: UInt, bytes: Int)] {
        var tables: [(begin: UInt, bytes: Int)] = [
            (UInt(bitPattern: metadata.flexpages), metadata.frames * MemoryLayout<Flexpage>.stride),
            (UInt(bitPattern: metadata.words), metadata.frames * MemoryLayout<FlexpageWord>.stride),
            (UInt(bitPattern: metadata.freeLeaves), BitTree.words(capacity: metadata.frames + 1) * 8),
            (UInt(bitPattern: metadata.leaves), (metadata.frames + 1) * MemoryLayout<Leaf>.stride),
            (UInt(bitPattern: metadata.buckets), metadata.bucketsPerShard * AccessMap.shardCount * 4),
            (UInt(bitPattern: metadata.shards), AccessMap.shardCount * MemoryLayout<Shard>.stride),
            (UInt(bitPattern: metadata.ghosts), metadata.ghostBuckets * Ghosts.entriesPerBucket * 8),
            (UInt(bitPattern: metadata.mutexes), Metadata.mutexCount * MemoryLayout<pthread_mutex_t>.stride),
            (UInt(bitPattern: metadata.conditions), Metadata.conditionCount * MemoryLayout<pthread_cond_t>.stride),
            (UInt(bitPattern: metadata.ledgers), metadata.images * MemoryLayout<Ledger.Record>.stride),
            (UInt(bitPattern: metadata.syncRisks), metadata.images * MemoryLayout<SyncRisk.Record>.stride),
            (UInt(bitPattern: metadata.readaheadWaste), metadata.images * MemoryLayout<Atomic<UInt64>>.stride),
            (UInt(bitPattern: metadata.imageHits), metadata.images * AccessMap.shardCount * 8),
            (UInt(bitPattern: metadata.imageCounters), metadata.images * MemoryLayout<ImageCounters.Record>.stride),
            (UInt(bitPattern: metadata.dirtyImages), (metadata.images + 1) * MemoryLayout<DirtyLimit.Image>.stride),
            (UInt(bitPattern: metadata.imageQueues), metadata.images * MemoryLayout<ImageQueues>.stride),
            (UInt(bitPattern: metadata.holdings), metadata.images * MemoryLayout<Holding>.stride),
            (UInt(bitPattern: metadata.badPages), metadata.frames * 2),
            (
                UInt(bitPattern: metadata.writebackKeys),
                WritebackQueue.slotCount * WritebackQueue.capacity(frames: metadata.frames) * 8
            ),
            (
                UInt(bitPattern: metadata.zeroGroups),
                metadata.zeroGroupsPerShard * AccessMap.shardCount * MemoryLayout<ZeroMap.Group>.stride
            ),
        ]
        for order in 0...Region.maxOrder {
            let capacity = order == 0 ? metadata.frames : (metadata.frames >> order) + 1
            tables.append((UInt(bitPattern: metadata.freeRegions[order]), BitTree.words(capacity: capacity) * 8))
        }
        return tables
    }
}
