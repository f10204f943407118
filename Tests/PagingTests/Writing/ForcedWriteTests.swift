import Glibc
import Synchronization
import Testing

@testable import Paging

/// What a forced write promises while the image fails it and others try the same page again.
@Suite struct ForcedWriteTests {
    /// Threads that want one page written out race with flushes that try it again after each failure. Whoever is told that
    /// it is out finds it there, also who had waited for a write-out that failed and comes to look when the next one is
    /// under way already.
    @Test func nobodyTakesATryForASuccess() throws {
        let image = StubbornImage()
        let rig = try PagingRig(image: image)
        let verdict = Verdict()
        let rounds = Sanitizer.isThread ? 200 : 2000
        try Watchdog.guarding("nobody takes a try for a success") { () throws in
            for round in 1...UInt8(200) {
                for _ in 0..<rounds / 200 {
                    image.forget()
                    try rig.write(round, count: BasePage.size, at: 0)
                    Thread.run(4) { number in
                        do throws(AccessError) {
                            if number == 0 { try rig.pager.flush() } else { try rig.provider.mapper.writeOut(0..<1) }
                            verdict.expect(image.byte == round, "told to be out, but it is not, in round \(round)")
                        } catch {}
                    }
                    image.heal()
                    try rig.pager.flush()
                }
            }
        }
        verdict.report("forced writes")
        try rig.end()
    }
}

/// An image that fails most writes until it is healed, and takes its time with the others.
private final class StubbornImage: Accessor, @unchecked Sendable {
    let size: Int64 = 4096
    let isWritable = true
    private let isHealed = Atomic<Bool>(false)
    private let calls = Atomic<Int>(0)
    private let held = Atomic<UInt8>(0)

    /// The first byte of what was written last, or 0 after `forget`.
    var byte: UInt8 { held.load(ordering: .sequentiallyConsistent) }

    func forget() {
        held.store(0, ordering: .sequentiallyConsistent)
        isHealed.store(false, ordering: .sequentiallyConsistent)
    }

    func heal() { isHealed.store(true, ordering: .sequentiallyConsistent) }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        let call = calls.add(1, ordering: .relaxed).newValue
        usleep(UInt32(call % 5 * 20))
        if !isHealed.load(ordering: .sequentiallyConsistent), call % 8 != 0 { throw AccessError(EIO) }
        held.store(pieces[0].iov_base.load(as: UInt8.self), ordering: .sequentiallyConsistent)
    }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        for piece in pieces { memset(piece.iov_base, 0, piece.iov_len) }
    }

    func makeDurable() throws(AccessError) {}
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {}
    func trim(_ range: Range<Int64>) throws(AccessError) {}
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        _ = report(Extent(range, .data))
    }
}
