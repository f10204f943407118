import Glibc
import Paging
import TestSupport
import Testing

@testable import Accessors

/// The pager over a layer that goes away again and again, and forgets each time what was not flushed.
@Suite struct LayerRestartTests {
    private static let pages = 256

    /// What threads have been answered.
    private final class Ledger: Sendable {
        let values = Guarded([UInt8](repeating: 0, count: LayerRestartTests.pages))
    }

    /// Four threads write, each its own pages, and flush, while the layer goes away. After the last flush each answered
    /// write is durable, although the layer lost many that it had answered.
    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func nothingAnsweredIsLost(seed: UInt64) throws {
        let layer = FakeLayer([UInt8](repeating: 0, count: Self.pages * 4096), .parallel)
        layer.delay.store(200, ordering: .relaxed)
        let opened = LayerImage(
            layer, exportName: "", isReadOnly: false, contexts: 2, retryTime: 20_000, stagingBytes: 1 << 18
        ) { _ in }
        let image = try #require(opened)
        let pages = try Pages(memory: 4 << 20)
        let registry = ProviderRegistry(pages: pages)
        let writeback = try Writeback(pages: pages, registry: registry, dirtyAge: 5)
        let provider = try registry.open(image.identity) { () throws(AccessError) in image }
        let ledger = Ledger()
        let writers = (0..<4).map { number in
            Worker { try Self.write(number, seed, provider, ledger) }
        }
        for writer in writers { writer.start() }
        var random = SplitMix64(seed: seed, stream: 50)
        for _ in 0..<20 {
            usleep(UInt32(random.pick(500...20_000)))
            layer.goAway(refusingOpens: random.pick(0...2))
        }
        for writer in writers { try writer.join() }
        try Pager(provider).flush()
        let durable = layer.with { $0.durable }
        for (page, value) in ledger.values.withLock({ $0 }).enumerated() {
            #expect(durable[page * 4096] == value && durable[page * 4096 + 4095] == value, "page \(page), seed \(seed)")
        }
        try registry.close(provider)
        writeback.stop()
        image.close()
        #expect(layer.with { $0.complaints } == [])
    }

    private static func write(_ number: Int, _ seed: UInt64, _ provider: Provider, _ ledger: Ledger) throws {
        let pager = Pager(provider)
        var random = SplitMix64(seed: seed, stream: UInt64(number))
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { buffer.deallocate() }
        for round in 1...150 {
            let page = random.pick(0...pages / 4 - 1) * 4 + number
            let value = UInt8(round)
            buffer.initializeMemory(as: UInt8.self, repeating: value)
            try pager.write(
                from: UnsafeRawBufferPointer(buffer), at: Int64(page) * 4096, forced: random.once(in: 20))
            ledger.values.withLock { $0[page] = value }
            if random.once(in: 10) { try pager.flush() }
            if random.once(in: 30) {
                let zeroed = random.pick(0...pages / 4 - 1) * 4 + number
                try pager.zero(
                    Int64(zeroed) * 4096..<Int64(zeroed + 1) * 4096, mayTrim: true, onlyIfFast: false, forced: false)
                ledger.values.withLock { $0[zeroed] = 0 }
            }
        }
    }
}
