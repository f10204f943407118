import Testing

@testable import Paging

/// What a flexpage's word allows, over all combinations of its bits.
@Suite struct PageStateTests {
    private static let bits = [
        PageState.exclusive, PageState.writing, PageState.populated, PageState.hasWaiters, PageState.withdrawn,
        PageState.dirty, PageState.unsynced, PageState.marked, PageState.prefetched,
    ]

    /// Every combination of the bits, with 0 to 2 pins and 0 or 3 hits.
    private static let states: [PageState] = (0..<UInt32(1 << bits.count)).flatMap { mixture in
        let word = bits.indices.reduce(UInt32(0)) { $0 | (mixture >> UInt32($1) & 1 != 0 ? bits[$1] : 0) }
        return [0, 1, 2].flatMap { pins in [0, 3].map { PageState(word | pins | $0 << 14) } }
    }

    /// The bits, the pins, the hits and the error do not overlap.
    @Test func fieldsDoNotOverlap() {
        let fields = PageStateTests.bits + [PageState.pinMask, PageState.hitMask, 0xFF << PageState.errorShift]
        #expect(fields.reduce(0) { $0 | $1 }.nonzeroBitCount == fields.reduce(0) { $0 + $1.nonzeroBitCount })
    }

    /// A page is quiescent if nobody fills, writes or writes it out, whoever reads it and whatever else is known of it.
    @Test func quiescentIsWhatNobodyChanges() {
        for state in PageStateTests.states {
            let isChanging =
                !state.has(PageState.populated) || state.has(PageState.exclusive) || state.has(PageState.writing)
            #expect(state.isQuiescent == !isChanging)
        }
    }

    /// Invariants 2 and 11: only a populated page is lent, and none that a writer holds.
    @Test func readersGetPopulatedPagesOfNoWriter() {
        for state in PageStateTests.states where state.isLendable {
            #expect(state.has(PageState.populated))
            #expect(!state.has(PageState.exclusive))
        }
    }

    /// Readers do not pass a waiter for ever, but readers of a page on its way out go on.
    @Test func readersLetWaitersPass() {
        for state in PageStateTests.states where state.isLendable && state.has(PageState.hasWaiters) {
            #expect(state.has(PageState.writing))
        }
        #expect(PageState(PageState.populated | PageState.writing | PageState.hasWaiters).isLendable)
        #expect(PageState(PageState.populated | PageState.dirty | 5).isLendable)
    }

    /// However many come at once, pins stay in their field.
    @Test func aCrowdWaits() {
        #expect(PageState(PageState.populated | PageState.maxPins - 1).isLendable)
        #expect(!PageState(PageState.populated | PageState.maxPins).isLendable)
        #expect(!PageState(PageState.populated | PageState.writing | PageState.maxPins).isLendable)
        #expect(PageState.maxPins < PageState.pinMask)
    }

    /// Invariants 5 and 11: a writer has the page for itself, and no page on its way out.
    @Test func writersAreAlone() {
        for state in PageStateTests.states where state.isLendableExclusively {
            #expect(state.has(PageState.populated))
            #expect(state.pins == 0)
            #expect(!state.has(PageState.exclusive | PageState.writing))
        }
    }

    /// Invariants 4 and 5: a recycled page is not lent, dirty, going out or being filled.
    @Test func onlyIdleCleanPagesAreRecycled() {
        for state in PageStateTests.states where state.isRecyclable {
            #expect(state.has(PageState.populated))
            #expect(state.pins == 0)
            #expect(!state.has(PageState.exclusive | PageState.writing | PageState.dirty))
        }
        #expect(PageState(PageState.populated).isRecyclable)
        #expect(PageState(PageState.populated | PageState.hitMask).isRecyclable)
    }

    /// Invariants 4 and 5: a page can be moved if it is populated, nobody has it and nobody waits for it. It may be
    /// dirty.
    @Test func whatNobodyHasCanBeMoved() {
        for state in PageStateTests.states {
            let isInUse =
                state.pins > 0 || state.has(PageState.exclusive | PageState.writing | PageState.hasWaiters)
            #expect(state.isMovable == (state.has(PageState.populated) && !isInUse))
        }
        let others = PageState.dirty | PageState.unsynced | PageState.untilUsed | PageState.hitMask
        #expect(PageState(PageState.populated | others).isMovable)
        #expect(!PageState(PageState.populated | PageState.maxPins).isMovable)
    }

    /// An errno fits beside the bits of a failed fill.
    @Test func errorsFit() {
        for code: Int32 in [1, 5, 28, 255] {
            let state = PageState(PageState.withdrawn | UInt32(code) << PageState.errorShift | 3)
            #expect(state.error == code)
            #expect(state.pins == 3)
            #expect(state.has(PageState.withdrawn))
        }
    }
}
