import Glibc
import Paging
import TestSupport
import Testing

@testable import Accessors

/// Images in a layer, byte by byte.
@Suite struct LayerImageTests {
    private func image(_ layer: FakeLayer, stagingBytes: Int = 16 * 16384) throws -> LayerImage {
        let image = LayerImage(
            layer, exportName: "", isReadOnly: false, contexts: 4, retryTime: 5000, stagingBytes: stagingBytes
        ) { _ in }
        return try #require(image)
    }

    private func read(_ memory: PageMemory, from image: LayerImage, at offset: Int64) throws(AccessError) {
        defer { withExtendedLifetime(memory) {} }
        try image.populate(memory.all, at: offset)
    }

    private func write(_ memory: PageMemory, to image: LayerImage, at offset: Int64) throws(AccessError) {
        defer { withExtendedLifetime(memory) {} }
        try image.writeOut(memory.all, at: offset)
    }

    private static func properties(size: Int, minBlock: Int, maxRequest: Int) -> LayerProperties {
        var properties = LayerProperties(size: Int64(size), minBlock: minBlock, maxRequest: maxRequest)
        properties.canWrite = true
        properties.canFlush = true
        properties.isMultiConn = true
        return properties
    }

    private func code(_ body: () throws(AccessError) -> Void) -> Int32 {
        do throws(AccessError) {
            try body()
            return 0
        } catch { return error.code }
    }

    /// Reads, writes, zeroes and trims of any pieces at any place, with any block and any maximum, agree with an array.
    /// The layer sees whole blocks and nothing longer than its maximum.
    @Test(arguments: [(1, 0), (512, 4096), (4096, 8192), (65536, 65536), (1, 1 << 20)], [1, 2, 3] as [UInt64])
    func agreesWithAnArray(limits: (minBlock: Int, maxRequest: Int), seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let size = 4 * 65536 + (limits.minBlock == 1 ? 1234 : 0)
        var expected = pattern(size)
        var properties = Self.properties(size: size, minBlock: limits.minBlock, maxRequest: limits.maxRequest)
        properties.canZero = seed != 1
        properties.canZeroFast = seed == 3
        let layer = FakeLayer(expected, .parallel, properties)
        let image = try image(layer)
        let pages = Int64(size + 4095) / 4096
        for _ in 0..<60 {
            let first = random.place(below: pages)
            let count = Int64(random.length(upTo: Int(min(pages - first, 60))))
            let offset = Int(first) * 4096
            let range = offset..<min(offset + Int(count) * 4096, size)
            switch random.pick(0...4) {
            case 0, 1:
                let memory = PageMemory(Int(count) * 4096) { random.length(upTo: 9) }
                try read(memory, from: image, at: Int64(offset))
                // What lies past the end is zeroes.
                let tail = [UInt8](repeating: 0, count: memory.count - range.count)
                expectSame(memory.bytes, expected[range] + tail)
            case 2, 3:
                let bytes = pattern(Int(count) * 4096, salt: random.pick(0...1 << 20))
                try write(PageMemory(bytes) { random.length(upTo: 9) }, to: image, at: Int64(offset))
                expected.replaceSubrange(range, with: bytes[..<range.count])
            default:
                let lower = random.pick(range.lowerBound...range.upperBound - 1)
                let some = lower..<random.pick(lower + 1...range.upperBound)
                try image.zero(
                    Int64(some.lowerBound)..<Int64(some.upperBound), mayTrim: random.once(in: 2), onlyIfFast: false)
                AccessorsTests.zero(&expected, some)
            }
        }
        expectSame(layer.bytes, expected)
        // Each zero is durable when it returns, and the rest after this.
        try image.makeDurable()
        expectSame(layer.with { $0.durable }, expected)
        image.close()
        #expect(layer.with { $0.complaints } == [])
        #expect(layer.with { $0.openContexts } == 0)
    }

    /// Pieces are put together, so that a layer far away is called once.
    @Test func piecesAreJoined() throws {
        let layer = FakeLayer(pattern(1 << 20))
        let image = try image(layer, stagingBytes: 16 << 18)
        let memory = PageMemory(1 << 18)
        try read(memory, from: image, at: 4096)
        #expect(layer.with { $0.calls[.read] } == 1)
        try write(memory, to: image, at: 4096)
        #expect(layer.with { $0.calls[.write] } == 1)
        image.close()
    }

    /// What is longer than a call may be is divided where the layer likes it.
    @Test func preferredBlocks() throws {
        let size = 1 << 20
        var properties = LayerProperties(size: Int64(size), preferredBlock: 65_536, maxRequest: 200_000)
        properties.canWrite = true
        let layer = FakeLayer(pattern(size), .parallel, properties)
        let image = try image(layer, stagingBytes: 1 << 16)
        let memory = PageMemory(pattern(size - 4096)) { 1 << 20 }
        try read(memory, from: image, at: 4096)
        try write(memory, to: image, at: 4096)
        let starts = [4096, 196_608, 393_216, 589_824, 786_432, 983_040] as [Int64]
        #expect(layer.with { $0.ranges.map(\.lowerBound) } == starts + starts)
        image.close()
        #expect(layer.with { $0.complaints } == [])
    }

    /// Writers of different pages of one block change nothing of each other's.
    @Test func sharedBlocks() throws {
        let size = 4 * 65536
        let layer = FakeLayer(
            [UInt8](repeating: 0, count: size), .parallel, Self.properties(size: size, minBlock: 65536, maxRequest: 0))
        layer.delay.store(100, ordering: .relaxed)
        let image = try image(layer)
        let workers = (0..<8).map { number in
            Worker {
                for page in stride(from: number, to: size / 4096, by: 8) {
                    let memory = PageMemory([UInt8](repeating: UInt8(page + 1), count: 4096))
                    try write(memory, to: image, at: Int64(page) * 4096)
                }
            }
        }
        for worker in workers { worker.start() }
        for worker in workers { try worker.join() }
        for page in 0..<size / 4096 {
            let bytes = Array(layer.bytes[page * 4096..<(page + 1) * 4096])
            #expect(bytes == [UInt8](repeating: UInt8(page + 1), count: 4096), "page \(page)")
        }
        image.close()
        #expect(layer.with { $0.complaints } == [])
    }

    /// A layer without zeroes is written to, unless that is not wanted. One that cannot say so says EIO.
    @Test(arguments: [EOPNOTSUPP, EIO]) func zeroesWithoutMeans(_ error: Int32) throws {
        let layer = FakeLayer(pattern(1 << 16))
        layer.with {
            $0.properties.canZeroFast = true
            $0.failures = [.zero: error]
        }
        let image = try image(layer)
        let fast = code { () throws(AccessError) in try image.zero(0..<8192, mayTrim: true, onlyIfFast: true) }
        #expect(fast == EOPNOTSUPP)
        #expect(code { () throws(AccessError) in try image.trim(0..<8192) } == EOPNOTSUPP)
        #expect(layer.bytes == pattern(1 << 16))
        try image.zero(0..<8192, mayTrim: true, onlyIfFast: false)
        #expect(layer.bytes == [UInt8](repeating: 0, count: 8192) + pattern(1 << 16)[8192...])
        image.close()
        #expect(layer.with { $0.complaints } == [])
    }

    /// A zero that was forgotten before it was durable is made again.
    @Test func zeroIsDurable() throws {
        let layer = FakeLayer(pattern(1 << 16))
        let image = try image(layer)
        try image.zero(0..<4096, mayTrim: false, onlyIfFast: false)
        layer.goAway()
        try image.zero(4096..<8192, mayTrim: false, onlyIfFast: false)
        layer.goAway()
        #expect(Array(layer.bytes[..<8192]) == [UInt8](repeating: 0, count: 8192))
        // Nothing is left that the pager should write again.
        try image.makeDurable()
        image.close()
    }

    /// What a layer may have forgotten is no hole, whether it goes away before the question or in it, until it has been
    /// flushed again.
    @Test func forgottenIsNoHole() throws {
        var properties = Self.properties(size: 1 << 16, minBlock: 1, maxRequest: 0)
        properties.knowsExtents = true
        let layer = FakeLayer([UInt8](repeating: 0, count: 1 << 16), .parallel, properties)
        let image = try image(layer)
        func kinds() throws -> Set<String> {
            var kinds: Set<String> = []
            try image.extents(of: 0..<4096) { extent in
                kinds.insert("\(extent.kind)")
                return true
            }
            return kinds
        }
        try write(PageMemory(pattern(4096)), to: image, at: 0)
        #expect(try kinds() == ["data"])
        layer.goAway()
        #expect(try kinds() == ["data"])
        #expect(code { () throws(AccessError) in try image.makeDurable() } == ESTALE)
        #expect(try kinds() == ["data"])
        // The pager would have written it again.
        try image.makeDurable()
        #expect(try kinds() == ["hole"])
        image.close()
    }

    /// What cannot be written refuses to be.
    @Test func readOnly() throws {
        let layer = FakeLayer(pattern(1 << 16), .parallel, LayerProperties(size: 1 << 16))
        let image = try image(layer)
        #expect(!image.isWritable && image.readOnlyReason == "the fake layer: it cannot be written")
        #expect(code { () throws(AccessError) in try write(PageMemory(4096), to: image, at: 0) } == EROFS)
        #expect(code { () throws(AccessError) in try image.zero(0..<1, mayTrim: true, onlyIfFast: false) } == EROFS)
        #expect(code { () throws(AccessError) in try image.trim(0..<4096) } == EROFS)
        try image.makeDurable()
        image.close()
        #expect(layer.with { $0.complaints } == [])
    }

    /// Extents come in order, without gaps, clipped to what was asked for, whatever the layer's blocks are.
    @Test(arguments: [1, 4096, 65536]) func extents(minBlock: Int) throws {
        var bytes = pattern(4 * 65536)
        bytes.replaceSubrange(5000..<150_000, with: [UInt8](repeating: 0, count: 145_000))
        var properties = Self.properties(size: bytes.count, minBlock: minBlock, maxRequest: 0)
        properties.knowsExtents = true
        let layer = FakeLayer(bytes, .parallel, properties)
        let image = try image(layer)
        var random = SplitMix64(seed: 9)
        for _ in 0..<30 {
            let lower = random.place(below: Int64(bytes.count))
            let range = lower..<lower + 1 + random.place(below: Int64(bytes.count) - lower)
            var position = range.lowerBound
            try image.extents(of: range) { extent in
                #expect(extent.range.lowerBound == position && !extent.range.isEmpty)
                position = extent.range.upperBound
                #expect(extent.kind == .data || extent.range.lowerBound >= 5000 && extent.range.upperBound <= 150_000)
                return true
            }
            #expect(position == range.upperBound)
            var count = 0
            try image.extents(of: range) { _ in
                count += 1
                return false
            }
            #expect(count == 1)
        }
        image.close()
        #expect(layer.with { $0.complaints } == [])
    }
}
