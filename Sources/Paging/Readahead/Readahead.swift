import Glibc

/// Of one image: finds the sequential, backwards and strided streams among the accesses, and says what to read ahead.
///
/// It hears of misses and of arrivals at marked pages, not of hits: a reader whose pages are there costs nothing. Eight
/// streams; the one that was not used for longest gives its place to a new one, where one that runs, and is heard of
/// only when its reader comes to a mark, counts as used later than it was. Windows double from 64 KiB to the largest;
/// pages that are recycled without ever having been used halve what "largest" is, and each plan that is of use brings
/// some of it back.
///
/// Thread rules: any thread. Its lock is innermost. O(streams).
struct Readahead: @unchecked Sendable {
    private static let streamCount = 8
    /// The smallest window, base pages.
    private static let minWindow: UInt64 = 16

    private let monitor = Monitor()
    private let state: UnsafeMutablePointer<State>
    /// Base pages in the image.
    private let end: UInt64
    /// Base pages of the largest window; 0 where nothing is read ahead.
    private let maxWindow: UInt64

    private struct State {
        var streams = InlineArray<8, ReadaheadStream>(repeating: ReadaheadStream())
        var time: UInt64 = 0
        /// What the largest window is at present.
        var maxNow: UInt64
    }

    init(imageSize: Int64, maxWindow: Int) {
        end = (UInt64(imageSize) + UInt64(BasePage.size) - 1) / UInt64(BasePage.size)
        self.maxWindow = UInt64(maxWindow)
        state = .allocate(capacity: 1)
        state.initialize(to: State(maxNow: UInt64(maxWindow)))
    }

    func destroy() {
        monitor.destroy()
        state.deallocate()
    }

    /// Whether anything is ever read ahead.
    @inline(__always)
    var isOff: Bool { maxWindow == 0 }

    /// A client has missed `pages`.
    /// - Parameter unused: Base pages that have been read ahead and recycled without use since the last call.
    func missed(_ pages: Range<UInt64>, unused: UInt64) -> ReadaheadPlan {
        guard !isOff else { return ReadaheadPlan() }
        return monitor.withLock {
            learn(unused)
            state.pointee.time += 1
            for index in 0..<Readahead.streamCount
            where state.pointee.streams[index].accesses > 0 && state.pointee.streams[index].follow(pages) {
                state.pointee.streams[index].usedAt = state.pointee.time
                guard state.pointee.streams[index].isDue(pages) else { return ReadaheadPlan() }
                return advance(index, minWindow: 2 * UInt64(pages.count))
            }
            if !stride(to: pages) {
                state.pointee.streams[leastRecentlyUsed] = ReadaheadStream(pages, at: state.pointee.time)
            }
            return ReadaheadPlan()
        }
    }

    /// Makes a strided stream of an access to `pages` and two streams of one access each, if there are such.
    private func stride(to pages: Range<UInt64>) -> Bool {
        let time = state.pointee.time
        for second in 0..<Readahead.streamCount where state.pointee.streams[second].accesses == 1 {
            for first in 0..<Readahead.streamCount where state.pointee.streams[first].accesses == 1 {
                let (one, two) = (state.pointee.streams[first], state.pointee.streams[second])
                guard let stream = ReadaheadStream(one, two, pages, at: time) else { continue }
                // The two may yet turn out to be streams of their own.
                state.pointee.streams[leastRecentlyUsed] = stream
                return true
            }
        }
        return false
    }

    /// A client has come to the marked `page`.
    func arrived(at page: UInt64, unused: UInt64) -> ReadaheadPlan {
        guard !isOff else { return ReadaheadPlan() }
        return monitor.withLock {
            learn(unused)
            state.pointee.time += 1
            for index in 0..<Readahead.streamCount where state.pointee.streams[index].arrive(at: page) {
                state.pointee.streams[index].usedAt = state.pointee.time
                state.pointee.maxNow = min(maxWindow, state.pointee.maxNow + state.pointee.maxNow / 4 + 1)
                return advance(index, minWindow: Readahead.minWindow)
            }
            return ReadaheadPlan()
        }
    }

    private func advance(_ index: Int, minWindow: UInt64) -> ReadaheadPlan {
        let maxWindow = state.pointee.maxNow
        return state.pointee.streams[index].advance(
            minWindow: min(max(minWindow, Readahead.minWindow), maxWindow), maxWindow: maxWindow, end: end)
    }

    /// What was read ahead in vain shrinks the windows.
    private func learn(_ unused: UInt64) {
        guard unused > 0 else { return }
        state.pointee.maxNow = max(min(Readahead.minWindow, maxWindow), state.pointee.maxNow / 2)
    }

    /// The stream that gives its place to a new one.
    private var leastRecentlyUsed: Int {
        var found = 0
        for index in 1..<Readahead.streamCount where keptUntil(index) < keptUntil(found) { found = index }
        return found
    }

    /// The larger its window, the more misses of others come between two of its marks. (Kept for 256 of them whatever
    /// the window, streams that had ended kept new ones out: on nine of ten traces more was missed.)
    private func keptUntil(_ index: Int) -> UInt64 {
        state.pointee.streams[index].usedAt + state.pointee.streams[index].window / 16
    }
}
