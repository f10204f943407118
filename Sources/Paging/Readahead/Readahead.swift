import Glibc
import Synchronization

/// Of one image: finds sequential, backward and strided streams among the accesses, and says what to read ahead.
///
/// It hears of misses and of arrivals at marked pages, not of hits: a reader whose pages are resident costs nothing.
/// There are eight streams. A new stream replaces the least recently used one. A running stream is heard of only when
/// its reader reaches a mark. So it counts as used later than it was, by a sixteenth of its window, in accesses.
///
/// Windows double from 64 KiB to a maximum. Pages that are recycled without having been used (ReadaheadWaste) halve the
/// maximum. Each arrival at a mark raises it again by a quarter. Where images may be far away, so does each wait of a
/// reader for what is being read ahead of it, and beyond the usual maximum: the window that hides the latency of a read
/// is the latency times the reader's rate, and these waits are how it is found.
///
/// Thread rules: any thread. Its lock is innermost. O(streams).
struct Readahead: @unchecked Sendable {
    private static let streamCount = 8
    /// The minimum window, base pages.
    private static let minWindow: UInt64 = 16

    private let monitor = Monitor()
    private let state: UnsafeMutablePointer<State>
    /// Base pages in the image.
    private let end: UInt64
    /// What limits the window as well; nil in some tests.
    private let sizes: MemorySizes?
    /// The maximum window that is wanted, base pages; 0 if nothing is read ahead.
    private let limit: UnsafeMutablePointer<Synchronization.Atomic<Int>>

    private struct State {
        var streams = InlineArray<8, ReadaheadStream>(repeating: ReadaheadStream())
        var time: UInt64 = 0
        /// The maximum window at present.
        var maxNow: UInt64
    }

    init(imageSize: Int64, maxWindow: Int, _ sizes: MemorySizes? = nil) {
        self.sizes = sizes
        end = (UInt64(imageSize) + UInt64(BasePage.size) - 1) / UInt64(BasePage.size)
        limit = .allocate(capacity: 1)
        limit.initialize(to: Synchronization.Atomic(maxWindow))
        state = .allocate(capacity: 1)
        state.initialize(to: State(maxNow: UInt64(maxWindow)))
    }

    func destroy() {
        monitor.destroy()
        state.deallocate()
        limit.deallocate()
    }

    /// The maximum window, base pages; 0 if nothing is read ahead. It may change at any time. A stream learns of it
    /// when it asks for its next window.
    var maxWindow: Int {
        get { min(limit.pointee.load(ordering: .relaxed), sizes?.maxReadahead ?? .max) }
        nonmutating set {
            assert(newValue >= 0, "a window is not negative")
            monitor.withLock {
                limit.pointee.store(newValue, ordering: .relaxed)
                state.pointee.maxNow = UInt64(newValue)
            }
        }
    }

    /// Whether nothing is read ahead.
    @inline(__always)
    var isOff: Bool { maxWindow == 0 }

    /// A client has missed `pages`.
    /// - Parameter unused: How many base pages have been read ahead and recycled without use since the last call.
    func missed(_ pages: Range<UInt64>, unused: UInt64) -> ReadaheadPlan {
        monitor.withLock {
            guard !isOff else { return ReadaheadPlan() }
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

    /// Makes a strided stream from an access to `pages` and two streams of one access each, if they fit together.
    /// - Returns: Whether it has.
    private func stride(to pages: Range<UInt64>) -> Bool {
        let time = state.pointee.time
        for second in 0..<Readahead.streamCount where state.pointee.streams[second].accesses == 1 {
            for first in 0..<Readahead.streamCount where state.pointee.streams[first].accesses == 1 {
                let (one, two) = (state.pointee.streams[first], state.pointee.streams[second])
                guard let stream = ReadaheadStream(one, two, pages, at: time) else { continue }
                // The two stay: they may yet turn out to be streams of their own.
                state.pointee.streams[leastRecentlyUsed] = stream
                return true
            }
        }
        return false
    }

    /// A client has reached the marked `page`.
    func arrived(at page: UInt64, unused: UInt64) -> ReadaheadPlan {
        monitor.withLock {
            guard !isOff else { return ReadaheadPlan() }
            learn(unused)
            state.pointee.time += 1
            for index in 0..<Readahead.streamCount where state.pointee.streams[index].arrive(at: page) {
                state.pointee.streams[index].usedAt = state.pointee.time
                state.pointee.maxNow = max(state.pointee.maxNow, min(UInt64(maxWindow), grown))
                return advance(index, minWindow: Readahead.minWindow)
            }
            return ReadaheadPlan()
        }
    }

    /// A client waits for what is being read ahead of it. Does nothing where the disk is near.
    func late() {
        guard let sizes, sizes.maxLateReadahead > sizes.maxReadahead else { return }
        monitor.withLock { state.pointee.maxNow = max(state.pointee.maxNow, min(maxLateWindow, grown)) }
    }

    /// A quarter more than the maximum at present.
    private var grown: UInt64 { state.pointee.maxNow + state.pointee.maxNow / 4 + 1 }

    private var maxLateWindow: UInt64 {
        UInt64(min(limit.pointee.load(ordering: .relaxed), sizes?.maxLateReadahead ?? .max))
    }

    private func advance(_ index: Int, minWindow: UInt64) -> ReadaheadPlan {
        let maxWindow = min(state.pointee.maxNow, maxLateWindow)
        return state.pointee.streams[index].advance(
            minWindow: min(max(minWindow, Readahead.minWindow), maxWindow), maxWindow: maxWindow, end: end)
    }

    /// Halves the maximum window if anything was read ahead in vain.
    private func learn(_ unused: UInt64) {
        guard unused > 0 else { return }
        state.pointee.maxNow = max(min(Readahead.minWindow, UInt64(maxWindow)), state.pointee.maxNow / 2)
    }

    /// The index of the stream that a new one replaces.
    private var leastRecentlyUsed: Int {
        var found = 0
        for index in 1..<Readahead.streamCount where keptUntil(index) < keptUntil(found) { found = index }
        return found
    }

    /// The time of a stream's last use, plus a sixteenth of its window. The larger the window, the more misses of other
    /// readers come between two of the stream's marks. (With a fixed 256 in place of that, streams that had ended kept
    /// new ones out, and on nine of ten traces there were more misses.)
    private func keptUntil(_ index: Int) -> UInt64 {
        state.pointee.streams[index].usedAt + state.pointee.streams[index].window / 16
    }
}
