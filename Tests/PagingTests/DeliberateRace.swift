import Glibc
import Testing

/// Not a test of the pager: a test of the thread sanitizer, which must see a race between two copies of a page, or its
/// silence about all other tests means nothing. Scripts/test runs it on its own and wants the sanitizer's report.
@Suite struct DeliberateRace {
    private static let isWanted = getenv("FLEXPAGE_DELIBERATE_RACE") != nil

    /// Two threads copy to one page with nothing between them that orders the copies.
    @Test(.enabled(if: isWanted, "a race on purpose, for Scripts/test alone: FLEXPAGE_DELIBERATE_RACE=1"))
    func twoCopiesToOnePage() {
        let page = Page()
        let threads = (0..<2).map { _ in
            Thread.start {
                // Often enough that both are at it at the same time, however late one of them starts.
                for _ in 0..<10_000 { page.copyIn() }
            }
        }
        for thread in threads { pthread_join(thread, nil) }
    }

    private final class Page: @unchecked Sendable {
        private static let size = 4096
        private let bytes = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: size)
        private let source = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: size)

        init() { memset(source, 1, Self.size) }

        deinit {
            bytes.deallocate()
            source.deallocate()
        }

        func copyIn() { memcpy(bytes, source, Self.size) }
    }
}
