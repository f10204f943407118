import Glibc
import Synchronization

/// Of one image: finds sequential, backward and strided streams among the accesses, and says what to read ahead.
///
///     miss ── nothing follows it ──▶ forming ── a pattern, and room ──▶ running ── mark, or miss at the end ──┐
///                                      ▲ ▲                                │ ▲                                 │
///                                      │ └── waste: half its merit ───────┤ └──── next window, if there is room
///                                      │                                  │
///                                      └── a new stream takes its place ──┘ what is outstanding is lost
///
/// It hears of misses and of arrivals at marked pages, not of hits: a reader whose pages are resident costs nothing.
/// There are sixteen streams. A new stream replaces the least recently used one. A running stream is heard of only when
/// its reader reaches a mark, and many misses of others may come between two of them. So it counts as used later than
/// it was (`ReadaheadStream.patience`). If more than twelve are running, that does not hold for the one whose reader
/// has reached least. So readers that have gone leave room for new ones.
///
/// **Windows** double from 64 KiB to a maximum, while there is room. Room is the credit of the image (ReadaheadAccount)
/// less what is at risk: asked for, not known to be reached, and more than the reader has reached so far. An image
/// begins with enough for its first streams, and one whose readers go on reading keeps it. Without credit, a stream has
/// room for an eighth of what its own reader has reached, or less if its requests are long, or if bytes may limit the
/// volume. So a stream that ends has cost little beside what it has brought. A window of less than three requests is
/// not worth its own read: the stream waits until it deserves more.
///
/// **Waste.** Pages that are recycled without having been used (ReadaheadWaste) end the windows of the stream that
/// waits for them: it begins again with a small one, and with half of its merit. If its windows were as large as they
/// may be, that was too much for the memory, and the maximum is halved. Each arrival at a mark raises it again by a
/// quarter.
///
/// **Far away.** Where images may be far away, each wait of a reader for what is being read ahead of it raises the
/// maximum too, and beyond the usual one: the window that hides the latency of a read is the latency times the reader's
/// rate, and these waits are how it is found.
///
/// Thread rules: any thread. Its lock is innermost. O(streams).
struct Readahead: @unchecked Sendable {
    private static let streamCount = 16
    /// The maximum of running streams that may all be silent.
    private static let maxProtected = 12
    /// The minimum window while there is credit, base pages.
    private static let minWindow: UInt64 = 16
    /// Without credit, the minimum window in base pages, and in requests of the reader.
    private static let minPages = 4
    private static let minRequests = 3
    /// Without credit, a stream has room for the part of what its reader has reached that `ReadaheadAccount` allows.
    /// The part of one with long requests is smaller: it is one page a request, but for that not less than this part.
    private static let minPartOfRequests = 16
    /// How long ago an access may have been that is a step of a stride, in accesses.
    private static let maxAgeOfStep: UInt64 = 8

    private let monitor = Monitor()
    private let state: UnsafeMutablePointer<State>
    /// Base pages in the image.
    private let end: UInt64
    /// What limits the window as well; nil in some tests.
    private let sizes: MemorySizes?
    /// The maximum window that is wanted, base pages; 0 if nothing is read ahead.
    private let limit: UnsafeMutablePointer<Synchronization.Atomic<Int>>
    /// How far the read of a miss goes on.
    let on = ReadingOn()
    /// What the volume delivers at present.
    private let volume = VolumeWindow()

    private struct State {
        var streams = InlineArray<16, ReadaheadStream>(repeating: ReadaheadStream())
        var time: UInt64 = 0
        /// The maximum window at present.
        var maxNow: UInt64 { didSet { on.windowsAre(upTo: maxNow) } }
        let on: ReadingOn
        var account: ReadaheadAccount
        var judge = VolumeJudge()
    }

    init(imageSize: Int64, maxWindow: Int, _ sizes: MemorySizes? = nil) {
        self.sizes = sizes
        end = (UInt64(imageSize) + UInt64(BasePage.size) - 1) / UInt64(BasePage.size)
        limit = .allocate(capacity: 1)
        limit.initialize(to: Synchronization.Atomic(maxWindow))
        state = .allocate(capacity: 1)
        let account = ReadaheadAccount(maxWindow: min(maxWindow, sizes?.maxLateReadahead ?? .max))
        state.initialize(to: State(maxNow: UInt64(maxWindow), on: on, account: account))
    }

    func destroy() {
        monitor.destroy()
        state.deallocate()
        limit.deallocate()
        on.destroy()
        volume.destroy()
    }

    /// A read of the image begins. `endRead` follows.
    func beginRead() { volume.begin(now: now) }

    private var now: UInt64 { UInt64(MonotonicClock.seconds * 1e6) }

    /// A read of the image has ended, of `pages` pages.
    func endRead(_ pages: Int, isGood: Bool) {
        guard let count = volume.end(pages, isGood: isGood, now: now) else { return }
        monitor.withLock {
            state.pointee.judge.take(reads: count.reads, pages: count.pages, microseconds: count.microseconds)
            on.limit = state.pointee.judge.limit
        }
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
                state.pointee.account = ReadaheadAccount(maxWindow: Int(maxLateWindow))
            }
        }
    }

    /// Whether nothing is read ahead.
    @inline(__always)
    var isOff: Bool { maxWindow == 0 }

    /// A client has missed `pages`.
    /// - Parameter unused: What has been read ahead and recycled without use since the last call.
    func missed(_ pages: Range<UInt64>, unused: ReadaheadWaste.Unused) -> ReadaheadPlan {
        monitor.withLock {
            guard !isOff else { return ReadaheadPlan() }
            learn(unused)
            state.pointee.time += 1
            state.pointee.account.missed(UInt64(pages.count), maxWindow: Int(maxLateWindow), on.limit)
            for index in 0..<Readahead.streamCount
            where state.pointee.streams[index].accesses > 0 && state.pointee.streams[index].follow(pages) {
                settle(index)
                guard state.pointee.streams[index].isDue(pages) else { return ReadaheadPlan() }
                return advance(index, minWindow: 2 * UInt64(pages.count))
            }
            if !stride(to: pages) { begin(ReadaheadStream(pages, at: state.pointee.time)) }
            return ReadaheadPlan()
        }
    }

    /// `stream` takes the place of another one.
    private func begin(_ stream: ReadaheadStream) {
        let index = leastRecentlyUsed
        state.pointee.account.lost(state.pointee.streams[index].outstanding)
        state.pointee.streams[index] = stream
    }

    /// The stream has been used now. Earns or pays for what has become of pages read ahead for it.
    /// - Parameter atMark: Whether its reader has come to a mark.
    private func settle(_ index: Int, atMark: Bool = false) {
        state.pointee.streams[index].use(at: state.pointee.time, atMark: atMark)
        let progress = state.pointee.streams[index].takeProgress()
        state.pointee.account.passed(progress.passed, maxWindow: Int(maxLateWindow), on.limit)
        state.pointee.account.lost(progress.lost)
    }

    /// Makes a strided stream from an access to `pages` and two streams of one access each, if they fit together.
    /// - Returns: Whether it has.
    private func stride(to pages: Range<UInt64>) -> Bool {
        let time = state.pointee.time
        for second in 0..<Readahead.streamCount where isStep(second) {
            for first in 0..<Readahead.streamCount where isStep(first) {
                let (one, two) = (state.pointee.streams[first], state.pointee.streams[second])
                guard let stream = ReadaheadStream(one, two, pages, at: time) else { continue }
                // The two stay: they may yet turn out to be streams of their own.
                begin(stream)
                return true
            }
        }
        return false
    }

    /// Whether the stream is a single access that may be a step of a stride.
    private func isStep(_ index: Int) -> Bool {
        state.pointee.streams[index].accesses == 1
            && state.pointee.streams[index].usedAt + Readahead.maxAgeOfStep >= state.pointee.time
    }

    /// A client has reached the marked `page`.
    func arrived(at page: UInt64, unused: ReadaheadWaste.Unused) -> ReadaheadPlan {
        monitor.withLock {
            guard !isOff else { return ReadaheadPlan() }
            learn(unused)
            state.pointee.time += 1
            for index in 0..<Readahead.streamCount where state.pointee.streams[index].arrive(at: page) {
                settle(index, atMark: true)
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

    /// The next window of the stream, as far as there is room for it.
    private func advance(_ index: Int, minWindow: UInt64) -> ReadaheadPlan {
        let maxWindow = min(state.pointee.maxNow, maxLateWindow)
        let wanted = state.pointee.streams[index].nextWindow(
            minWindow: min(max(minWindow, Readahead.minWindow), maxWindow), maxWindow: maxWindow)
        guard let window = room(for: index, wanted: wanted) else { return ReadaheadPlan() }
        return state.pointee.streams[index].advance(by: window, end: end)
    }

    /// How much of the window that is wanted the stream may have; nil if that is not worth a read.
    private func room(for index: Int, wanted: UInt64) -> UInt64? {
        let credit = state.pointee.account.credit - atRisk
        if credit >= Int(wanted) { return wanted }
        let stream = state.pointee.streams[index]
        let request = stream.latest.count
        let part = max(ReadaheadAccount.partInVain(on.limit), min(request, Readahead.minPartOfRequests))
        let own = Int(stream.reached) / part - Int(stream.outstanding)
        let room = min(max(credit, own), Int(wanted))
        return room >= min(max(Readahead.minPages, Readahead.minRequests * request), Int(wanted)) ? UInt64(room) : nil
    }

    /// Base pages that would have to be paid for if all streams ended now.
    private var atRisk: Int {
        var sum: UInt64 = 0
        for index in 0..<Readahead.streamCount { sum += state.pointee.streams[index].atRisk }
        return Int(sum)
    }

    /// Ends the windows of the streams for which something was read ahead in vain.
    private func learn(_ unused: ReadaheadWaste.Unused) {
        guard unused.count > 0 else { return }
        for index in 0..<Readahead.streamCount where state.pointee.streams[index].awaits(unused.page) {
            if state.pointee.streams[index].window >= state.pointee.maxNow / 2 {
                state.pointee.maxNow = max(min(Readahead.minWindow, UInt64(maxWindow)), state.pointee.maxNow / 2)
            }
            state.pointee.account.lost(state.pointee.streams[index].outstanding)
            state.pointee.streams[index].giveUp()
        }
    }

    /// The index of the stream that a new one replaces.
    private var leastRecentlyUsed: Int {
        let poorest = poorestOfTooMany
        func keptUntil(_ index: Int) -> UInt64 {
            let stream = state.pointee.streams[index]
            return stream.usedAt + (index == poorest ? 0 : stream.patience)
        }
        var found = 0
        for index in 1..<Readahead.streamCount where keptUntil(index) < keptUntil(found) { found = index }
        return found
    }

    /// If too many streams are running, the index of the one whose reader has reached least.
    private var poorestOfTooMany: Int? {
        var (running, poorest) = (0, 0)
        for index in 0..<Readahead.streamCount where state.pointee.streams[index].window > 0 {
            running += 1
            let isPoorer = state.pointee.streams[index].reached < state.pointee.streams[poorest].reached
            if running == 1 || isPoorer { poorest = index }
        }
        return running > Readahead.maxProtected ? poorest : nil
    }
}
