import Testing

@testable import Paging

/// The word that holds a flexpage's position in the queue and its order.
@Suite struct FlexpageWordTests {
    @Test(arguments: 0...8) func keepsTickAndOrder(order: Int) {
        for tick: UInt32 in [0, 1, 77, 1 << 27, (1 << 28) - 1] {
            let position = QueuePosition(at: tick, order: UInt8(order))
            #expect(position.order == UInt64(order))
            #expect(position.isTimed == (tick != 0))
            for passed: UInt32 in [0, 1, 1000, (1 << 28) - 1] {
                #expect(position.age(at: tick &+ passed) == passed, "the clock wraps at 2²⁸")
            }
        }
    }

    @Test(arguments: 0...8) func tellsWhatItCovers(order: Int) {
        let position = QueuePosition(at: 5, order: UInt8(order))
        let size: UInt64 = 1 << UInt64(order)
        for first in [0, size, 1 << 40] {
            for page in [first, first + size / 2, first + size - 1] {
                #expect(position.covered(with: page) == first..<first + size)
            }
        }
    }
}
