import Glibc
import TestSupport
import Testing

@testable import Paging

/// A fill that fails fails only the requests for the bad block.
@Suite struct FailedFillTests {
    private static let size: Int64 = 2 << 20 | 777
    private static let bad: UInt64 = 300
    private static let badBytes = Int64(bad) * 4096..<Int64(bad + 1) * 4096

    private func rig(memory: Int = 4 << 20, maxDelay: Int = 0) throws -> Rig {
        let faults = Faults(badPages: [FailedFillTests.bad], maxDelay: maxDelay)
        return try Rig(memory: memory, image: MemoryImage(size: FailedFillTests.size, faults: faults))
    }

    /// All bytes except the bad page's can be read one by one, before and after wide reads over them have failed.
    @Test(arguments: [false, true]) func narrowReadsMissIt(afterAWideFailure: Bool) throws {
        let rig = try rig()
        if afterAWideFailure { #expect(rig.readError(2 << 20, at: 0) == AccessError(EIO)) }
        let begin = FailedFillTests.badBytes.lowerBound
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
        defer { buffer.deallocate() }
        let scratch = TestBuffer(1)
        for offset in begin - 4096..<begin + 8192 {
            do throws(AccessError) {
                try rig.pager.read(into: buffer, at: offset)
                let isRight = scratch.holds(buffer, rig.image.pattern, at: offset)
                #expect(!FailedFillTests.badBytes.contains(offset) && isRight)
            } catch {
                #expect(FailedFillTests.badBytes.contains(offset) && error.code == EIO)
            }
        }
        try rig.end()
    }

    /// The largest reads that end before it or begin after it succeed. Reads that touch one byte of it do not.
    @Test(arguments: [Pages.minMemory, 4 << 20]) func wideReadsMissIt(memory: Int) throws {
        let rig = try rig(memory: memory)
        let bad = FailedFillTests.badBytes
        for _ in 0..<2 {
            #expect(try rig.reads(Int(bad.lowerBound), at: 0))
            #expect(rig.readError(Int(bad.lowerBound) + 1, at: 0) == AccessError(EIO))
            #expect(try rig.reads(Int(FailedFillTests.size - bad.upperBound), at: bad.upperBound))
            #expect(rig.readError(Int(FailedFillTests.size - bad.upperBound) + 1, at: bad.upperBound - 1)?.code == EIO)
        }
        try rig.end()
    }

    /// Once its cause is gone the next read there works.
    @Test func theNextReadWorksOnceTheCauseIsGone() throws {
        let rig = try rig()
        #expect(rig.readError(2 << 20, at: 0) == AccessError(EIO))
        rig.image.heal()
        #expect(try rig.reads(Int(FailedFillTests.size), at: 0))
        try rig.end()
    }

    /// Threads that wait for a wide fill get their pages when it fails, unless their own page is the bad one. The fill
    /// of all of a chunk's pages is held up until each thread waits for it.
    @Test func waitersOnAFailingFillGetTheirPages() throws {
        let gate = Gate()
        let image = MemoryImage(size: FailedFillTests.size, faults: Faults(badPages: [FailedFillTests.bad])) { pages in
            if pages.count > 8 && gate.arrivals == 0 { gate.pass() }
        }
        let rig = try Rig(memory: 16 << 20, image: image)
        let verdict = Verdict()
        let filler = Thread.start {
            verdict.expect(rig.readError(1 << 20, at: 1 << 20)?.code == EIO, "the wide read has the bad page in it")
        }
        Watchdog.guarding("waiters on a failing fill") {
            Thread.wait { gate.arrivals == 1 }
            let waiters = (0..<8 as Range<Int64>).map { number in
                Thread.start {
                    let page = 256 + number * 11
                    let error = rig.readError(4096, at: page * 4096)
                    verdict.expect(
                        (error != nil) == (UInt64(page) == FailedFillTests.bad), "page \(page): \(error as Any)")
                }
            }
            Thread.wait { rig.pages.counters.waits >= 8 }
            gate.open()
            for thread in waiters + [filler] { pthread_join(thread, nil) }
        }
        verdict.report("8 waiters")
        #expect(rig.pages.counters.failedFills >= 1)
        try rig.end()
    }

    /// Many threads read over the bad page and around it, wide and narrow, with delays. Exactly those that touch it
    /// fail.
    @Test func manyAtOnce() throws {
        let rig = try rig(memory: Pages.minMemory, maxDelay: 100)
        let verdict = Verdict()
        Watchdog.guarding("many readers around a bad page") {
            Thread.run(8) { number in
                var random = SplitMix64(seed: 12, stream: UInt64(number))
                for _ in 0..<60 {
                    let count = random.length(upTo: 200_000)
                    let middle = FailedFillTests.badBytes.lowerBound + random.place(below: 4096)
                    let offset = max(0, middle - random.place(below: 2 * Int64(count)))
                    let touches = (offset..<offset + Int64(count)).overlaps(FailedFillTests.badBytes)
                    let error = rig.readError(count, at: offset)
                    verdict.expect(error?.code == (touches ? EIO : nil), "\(count) at \(offset): \(error as Any)")
                }
            }
        }
        verdict.report("8 readers")
        try rig.end()
    }
}
