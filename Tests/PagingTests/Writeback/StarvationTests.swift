import Glibc
import Testing

@testable import Paging

/// Writing back never starves reads: they have memory of their own, and wait for no write of the image (invariant 9).
@Suite struct StarvationTests {
    private static let writers = 6
    private static let size: Int64 = 64 << 20

    /// As much is dirty as may be, scattered a page here and a page there. The writers wait for room. The crew and a
    /// flush hang in writes that the disk does not do. A reader of eight times the memory, page by page or a megabyte
    /// at a time, gets all of it.
    @Test(arguments: [4096, 1 << 20]) func readsGoOnAtTheDirtyLimit(bytesAtOnce: Int) throws {
        let gate = Gate()
        let rig = try PagingRig(
            memory: 4 << 20,
            image: HookedImage(size: Self.size) { call, _ in
                if call == .writeOut { gate.pass() }
                return nil
            })
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 1)
        try Watchdog.guarding("reads go on at the dirty limit") { () throws in
            let writing = (0..<Self.writers).map { number in Thread.start { write(rig, number) } }
            Thread.wait { rig.pages.dirtyLimit.pages >= rig.pages.dirtyLimit.limit && gate.arrivals > 0 }
            let flushing = Thread.start { try? rig.pager.flush() }
            let scratch = TestBuffer(bytesAtOnce)
            let buffer = scratch.buffer(bytesAtOnce)
            for offset in stride(from: 32 << 20, to: Self.size, by: bytesAtOnce) {
                try rig.pager.read(into: buffer, at: offset)
                #expect(scratch.holds(buffer, 0xEE), "at \(offset)")
            }
            #expect(rig.pages.dirtyLimit.pages >= rig.pages.dirtyLimit.limit, "the writers were at the limit")
            gate.open()
            for thread in writing + [flushing] { pthread_join(thread, nil) }
        }
        try rig.pager.flush()
        for number in 0..<UInt64(Self.writers) { #expect(rig.image.byte(ofPage: number * 1024) == 7) }
        writeback.stop()
        try rig.end()
    }

    /// Writes every third page of a part of the image's lower half, more of them than may be dirty.
    private func write(_ rig: PagingRig<HookedImage>, _ number: Int) {
        for page in 0..<Int64(300) {
            try? rig.write(7, count: 4096, at: Int64(number) << 22 | page * 3 * 4096)
        }
    }
}
