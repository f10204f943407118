import Glibc
import Paging
import TestSupport
import Testing

@testable import Accessors

/// Trims of a layer: by which means, and what can be read afterwards.
@Suite struct LayerTrimTests {
    private static let size = 1 << 16

    private func layer(size: Int = size, _ change: (inout LayerProperties) -> Void) -> FakeLayer {
        let layer = FakeLayer(size == Self.size ? pattern(size) : [UInt8](repeating: 1, count: size))
        layer.with { change(&$0.properties) }
        return layer
    }

    private func image(_ layer: FakeLayer) throws -> LayerImage {
        let image = LayerImage(
            layer, exportName: "", isReadOnly: false, contexts: 4, retryTime: 5000, stagingBytes: 16 * 16384
        ) { _ in }
        return try #require(image)
    }

    private func code(_ body: () throws(AccessError) -> Void) -> Int32 {
        do throws(AccessError) {
            try body()
            return 0
        } catch { return error.code }
    }

    /// A layer that can trim gets a trim, made durable, unless it has fast zeroes. A zero that may be written is no
    /// trim.
    @Test(arguments: [
        (true, true, true), (false, true, true), (false, false, true), (true, false, true), (true, true, false),
        (true, false, false), (false, false, false),
    ])
    func means(canZero: Bool, canZeroFast: Bool, canTrim: Bool) throws {
        let hasFast = canZero && canZeroFast
        let layer = layer {
            $0.canZero = canZero
            $0.canZeroFast = hasFast
            $0.canTrim = canTrim
        }
        let image = try image(layer)
        #expect(image.isTrimZeroing == (hasFast || !canTrim))
        let code = code { () throws(AccessError) in try image.trim(4096..<12_288) }
        #expect(code == (hasFast || canTrim ? 0 : EOPNOTSUPP))
        #expect(layer.with { $0.calls[.zero] } == (hasFast ? 1 : nil))
        #expect(layer.with { $0.calls[.trim] } == (!hasFast && canTrim ? 1 : nil))
        #expect(layer.with { $0.calls[.flush] } == (code == 0 ? 1 : nil))
        #expect(layer.with { $0.calls[.write] } == nil)
        image.close()
        #expect(layer.with { $0.complaints } == [])
    }

    /// What has been trimmed reads as what the layer has there, from then on: not as what was in memory, and not as
    /// zeroes that it was known to be before.
    @Test func whatCanBeRead() throws {
        let layer = layer { $0.canTrim = true }
        let image = try image(layer)
        let pages = try Pages(memory: 2 << 20)
        let registry = ProviderRegistry(pages: pages)
        let provider = try registry.open(image.identity) { () throws(AccessError) in image }
        let pager = Pager(provider)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 16_384, alignment: 4096)
        defer { buffer.deallocate() }
        buffer.initializeMemory(as: UInt8.self, repeating: 7)
        try pager.zero(0..<8192, mayTrim: true, onlyIfFast: false, forced: false)
        // The layer has something else there, as one has that trims without zeroing.
        layer.with { $0.bytes = pattern(Self.size) }
        try pager.write(from: UnsafeRawBufferPointer(rebasing: buffer[..<8192]), at: 8192, forced: false)
        try pager.trim(0..<16_384, forced: false)
        try pager.read(into: buffer, at: 0)
        expectSame(Array(buffer), Array(pattern(Self.size)[..<16_384]))
        try registry.close(provider)
        image.close()
        #expect(layer.with { $0.complaints } == [])
    }

    /// Where blocks are larger than pages, what is not a whole block is zeroed: nothing else tells what is there.
    @Test func partsOfBlocks() throws {
        let layer = layer {
            $0.minBlock = 16_384
            $0.canTrim = true
        }
        let image = try image(layer)
        #expect(code { () throws(AccessError) in try image.trim(4096..<16_384) } == EOPNOTSUPP)
        try image.trim(12_288..<36_864)
        var wanted = pattern(Self.size)
        for part in [12_288..<16_384, 32_768..<36_864] { zero(&wanted, part) }
        expectSame(layer.bytes, wanted)
        image.close()
        #expect(layer.with { $0.complaints } == [])
    }

    /// A fast zero is one call, however long it is: a layer that could do a part of it and no more would leave the rest
    /// to be written.
    @Test func aFastZeroIsOneCall() throws {
        let size = 65 << 20
        let layer = layer(size: size) { $0.canZeroFast = true }
        let image = try image(layer)
        try image.zero(0..<Int64(size), mayTrim: true, onlyIfFast: true)
        #expect(layer.with { $0.calls[.zero] } == 1)
        try image.trim(0..<Int64(size))
        #expect(layer.with { $0.calls[.zero] } == 2)
        #expect(layer.with { $0.calls[.write] } == nil)
        image.close()
    }
}
