import Glibc
import Testing

@testable import Paging

/// A write-out that hangs holds up only writers of those very bytes, and those that wait for them to be out.
@Suite struct HangingWriteOutTests {
    private static let size: Int64 = 4 << 20

    /// A page is on its way out and does not arrive. Meanwhile these go on:
    /// - the page is read, and a page beside it, of the same leaf, is read and written;
    /// - other pages are read and written, resident or not;
    /// - a forced write writes out and syncs what is dirtied beside the page;
    /// - another image is opened, written, flushed and closed;
    /// - the counters and invariants can be looked at.
    ///
    /// A flush, and a write to the page that is going out, end when the disk goes on. The image then has what each of
    /// them promised.
    @Test func nobodyElseWaits() throws {
        let gate = Gate()
        let image = ToldImage(size: Self.size, writing: { pages in if pages.contains(7) { gate.pass() } })
        let rig = try PagingRig(memory: 4 << 20, image: image)
        let verdict = Verdict()
        try rig.write(1, count: 4096, at: 4096 * 7)
        try Watchdog.guarding("nobody else waits for a write-out") { () throws in
            let flushing = Thread.start {
                verdict.expect((try? rig.pager.flush()) != nil, "the flush fails")
                verdict.expect(image.byte(ofPage: 7) == 1, "the flush is answered too early")
            }
            Thread.wait { gate.arrivals == 1 }
            let writing = Thread.start {
                verdict.expect((try? rig.write(2, count: 100, at: 4096 * 7)) != nil, "the write fails")
            }
            try expectReads(rig, 1, page: 7)
            for page in [6, 8, 100, 900] as [Int64] {
                try rig.write(3, count: 4096, at: 4096 * page)
                try rig.write(3, count: 10, at: 4096 * page + 5)
                try expectReads(rig, 3, page: page)
            }
            try expectReads(rig, 0, page: 500)
            try rig.write(4, count: 4096, at: 4096 * 200, forced: true)
            #expect(image.byte(ofPage: 200) == 4)
            try useAnotherImage(rig)
            _ = rig.pages.counters
            rig.pages.checkInvariants()
            #expect(image.byte(ofPage: 7) == 0)
            gate.open()
            for thread in [flushing, writing] { pthread_join(thread, nil) }
        }
        verdict.report("the flush and the write that had to wait")
        try expectReads(rig, 2, page: 7)
        try rig.pager.flush()
        for (page, byte) in [(6, 3), (7, 2), (8, 3), (100, 3), (900, 3)] as [(Int, UInt8)] {
            #expect(image.byte(ofPage: page) == byte)
        }
        try rig.end()
    }

    private func expectReads(_ rig: PagingRig<ToldImage>, _ byte: UInt8, page: Int64) throws {
        let scratch = TestBuffer(64)
        let buffer = scratch.buffer(64)
        try rig.pager.read(into: buffer, at: page * 4096)
        #expect(scratch.holds(buffer, byte), "page \(page)")
    }

    private func useAnotherImage(_ rig: PagingRig<ToldImage>) throws {
        let image = ToldImage(size: 65536)
        let other = try rig.registry.open(ImageIdentity(device: 9, inode: 9)) { image }
        let scratch = TestBuffer(4096)
        let buffer = scratch.buffer(4096)
        try Pager(other).write(from: UnsafeRawBufferPointer(buffer), at: 0, forced: false)
        try Pager(other).flush()
        try rig.registry.close(other)
        #expect(image.byte(ofPage: 0) == 0xA5)
    }
}
