import Glibc
import Synchronization
import Testing

@testable import Paging

/// What a forced write promises while the image fails it and others try the same page again.
@Suite struct ForcedWriteTests {
    /// Threads that want one page written out race with flushes that try it again after each failure. A thread that
    /// learns that the page is out finds it on the image. This holds even if it had waited for a write-out that failed,
    /// and looks when the next one is under way already.
    @Test func nobodyTakesATryForASuccess() throws {
        // It fails most writes until it is healed, and delays the others.
        let isHealed = Atomic<Bool>(false)
        let calls = Atomic<Int>(0)
        let image = HookedImage(size: 4096) { call, _ in
            guard call == .writeOut else { return nil }
            let number = calls.add(1, ordering: .relaxed).newValue
            usleep(UInt32(number % 5 * 20))
            return isHealed.load(ordering: .sequentiallyConsistent) || number % 8 == 0 ? nil : AccessError(EIO)
        }
        let rig = try PagingRig(image: image)
        let verdict = Verdict()
        let rounds = Sanitizer.isThread ? 200 : 2000
        try Watchdog.guarding("nobody takes a try for a success") { () throws in
            for round in 1...rounds {
                let value = UInt8(round % 250 + 1)
                isHealed.store(false, ordering: .sequentiallyConsistent)
                try rig.write(value, count: BasePage.size, at: 0)
                Thread.run(4) { number in
                    do throws(AccessError) {
                        if number == 0 { try rig.pager.flush() } else { try rig.provider.mapper.writeOut(0..<1) }
                        verdict.expect(
                            image.byte(ofPage: 0) == value, "the page is reported out, but is not, in round \(round)")
                    } catch {}
                }
                isHealed.store(true, ordering: .sequentiallyConsistent)
                try rig.pager.flush()
            }
        }
        verdict.report("forced writes")
        try rig.end()
    }
}
