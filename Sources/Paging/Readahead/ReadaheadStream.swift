/// A reader that seems to go through an image in a pattern, and how far the pager has read ahead of it.
///
///     forming ── advance: the pattern is known ──▶ running (windows double)
///        └─────────────────────┬──────────────────────┘
///                              └── least recently used ──▶ replaced by a new stream
///
/// All numbers are base pages. Reordering is tolerated: threads that serve one client's requests at once come here in
/// another order than the requests came to them. So one access says little about where the reader goes. The direction
/// is the one in which most accesses widen what the stream has seen. The same page missed again says nothing.
struct ReadaheadStream {
    /// How the reader moves.
    enum Direction {
        case forwards, backwards
        /// By the same distance each time, which is more than the pages read.
        case strided(Int64)
    }

    var direction = Direction.forwards
    /// The pages of the latest access; of a strided stream, those of the furthest one.
    var latest: Range<UInt64> = 0..<0
    /// From the lowest to the highest page that the reader has reached.
    private var seen: Range<UInt64> = 0..<0
    /// Accesses that went on upwards minus those that went on downwards, limited to `maxLead` either way.
    private var lead = 0
    /// The end of what has been asked for ahead of the reader (backwards: its beginning; strided: the furthest step).
    var ahead: UInt64 = 0
    /// The page that was marked last, until the reader reaches it.
    private var mark: UInt64?
    /// How many pages are asked for at once; 0 while the stream is forming.
    var window: UInt64 = 0
    /// How many accesses have followed the pattern; 0 if there is no stream.
    var accesses = 0
    /// The time of its last use: the number of an access among all to the image.
    private(set) var usedAt: UInt64 = 0
    /// How many accesses to the image lay between its reader's last mark and the use before that. Half of a longer
    /// pause counts still: requests in another order than they came in make short ones.
    private var pause: UInt64 = 0
    /// Base pages that the reader has reached: those that it has missed, and those that it has passed of what was read
    /// ahead of it.
    private(set) var reached: UInt64 = 0
    private var progress = Progress()
    /// Base pages that were outstanding when it gave up, until the reader is heard of again.
    private var given: UInt64 = 0

    /// What has become of base pages that were read ahead.
    struct Progress {
        /// The reader has passed them.
        var passed: UInt64 = 0
        /// The reader has turned away from them.
        var lost: UInt64 = 0
    }

    /// The lead at which the direction is known.
    private static let leadOfDirection = 2
    private static let maxLead = 8
    private static let partOfDense: UInt64 = 4
    /// How many requests of a client may come in any order.
    private static let reordered: UInt64 = 16
    /// The maximum stride: 256 MiB.
    private static let maxStride: Int64 = 65536
    /// How many steps in a row make a strided pattern.
    private static let stridesOfPattern = 4

    init() {}

    /// A stream that begins with an access to `pages`.
    init(_ pages: Range<UInt64>, at time: UInt64) {
        latest = pages
        seen = pages
        ahead = pages.upperBound
        accesses = 1
        usedAt = time
        reached = UInt64(pages.count)
    }

    /// The strided stream that accesses of two streams and one to `pages` make, if they lie at equal distances and none
    /// of the three has been followed by a neighbour. One more access must confirm it, because among many random
    /// accesses some three lie so.
    init?(_ first: ReadaheadStream, _ second: ReadaheadStream, _ pages: Range<UInt64>, at time: UInt64) {
        let distance = Int64(pages.lowerBound) - Int64(second.latest.lowerBound)
        guard first.accesses == 1, second.accesses == 1, first.usedAt < second.usedAt,
            Int64(second.latest.lowerBound) - Int64(first.latest.lowerBound) == distance,
            first.latest.count == pages.count, second.latest.count == pages.count,
            distance != 0, abs(distance) <= ReadaheadStream.maxStride
        else { return nil }
        self.init(pages, at: time)
        direction = .strided(distance)
        ahead = pages.lowerBound
        accesses = 3
        reached = 3 * UInt64(pages.count)
    }

    /// Whether more should be read ahead after a miss of `pages`, which the stream has followed. That is so if it has a
    /// pattern, and either nothing was read ahead or the reader has reached the end of that.
    ///
    /// An earlier miss says nothing new: what was asked for is late or has been dropped. If such a miss made the window
    /// grow, a stream with a mistaken direction would ask for megabytes before the mistake shows.
    func isDue(_ pages: Range<UInt64>) -> Bool {
        switch direction {
        case .strided: accesses >= ReadaheadStream.stridesOfPattern && ahead == latest.lowerBound
        case .forwards: window > 0 ? pages.upperBound >= ahead : isDense && lead >= ReadaheadStream.leadOfDirection
        case .backwards: window > 0 ? pages.lowerBound <= ahead : isDense && lead <= -ReadaheadStream.leadOfDirection
        }
    }

    /// Whether the reader has reached a good part of what lies between its lowest and its highest page. Accesses that
    /// only happen to be near one another leave more out.
    private var isDense: Bool { reached * ReadaheadStream.partOfDense >= UInt64(seen.count) }

    /// How far an access may be from where it is expected, so that sixteen requests in any order are one stream.
    private func slack(_ pages: Range<UInt64>) -> UInt64 {
        max(2 * ReadaheadStream.reordered, ReadaheadStream.reordered * UInt64(pages.count))
    }

    /// Follows an access to `pages` if it belongs to the stream.
    /// - Returns: Whether it does.
    mutating func follow(_ pages: Range<UInt64>) -> Bool {
        assert(!pages.isEmpty, "an access is to a page")
        guard expects(pages) else { return false }
        let before = outstanding + progress.lost
        if case .strided(let distance) = direction {
            if (Int64(pages.lowerBound) - Int64(latest.lowerBound)) * distance.signum() > 0 { count(pages) }
            advanceStrided(to: pages.lowerBound, by: distance)
        } else {
            if pages != latest { count(pages) }
            note(pages)
            latest = pages
            given = 0
        }
        pass(before)
        return true
    }

    /// Whether an access to `pages` belongs to the stream.
    private func expects(_ pages: Range<UInt64>) -> Bool {
        guard case .strided(let distance) = direction else {
            return near.overlaps(widened(pages, by: slack(pages)))
        }
        return pages.count == latest.count && steps(to: pages.lowerBound, by: distance) != nil
    }

    private mutating func count(_ pages: Range<UInt64>) {
        accesses += 1
        reached += UInt64(pages.count)
    }

    /// Where the reader is, and what has been asked for ahead of it. If pages of that were dropped, the reader's next
    /// miss is there.
    private var near: Range<UInt64> {
        guard window > 0 else { return givenUp }
        switch direction {
        case .backwards: return min(ahead, seen.lowerBound)..<seen.lowerBound + 1
        default: return seen.upperBound - 1..<max(ahead, seen.upperBound)
        }
    }

    /// Where the reader of a stream without a window may be: beside what it has reached, or anywhere in what was given
    /// up, which it may have found before it was recycled.
    private var givenUp: Range<UInt64> {
        switch direction {
        case .backwards: seen.lowerBound - min(seen.lowerBound, given)..<seen.upperBound
        default: seen.lowerBound..<seen.upperBound + given
        }
    }

    private func widened(_ pages: Range<UInt64>, by slack: UInt64) -> Range<UInt64> {
        pages.lowerBound - min(pages.lowerBound, slack)..<pages.upperBound + slack
    }

    /// Learns the direction of the reader from an access.
    private mutating func note(_ pages: Range<UInt64>) {
        let maxLead = ReadaheadStream.maxLead
        if pages.upperBound > seen.upperBound { lead = min(lead + 1, maxLead) }
        if pages.lowerBound < seen.lowerBound { lead = max(lead - 1, -maxLead) }
        seen = min(seen.lowerBound, pages.lowerBound)..<max(seen.upperBound, pages.upperBound)
        switch direction {
        case .forwards where lead <= -ReadaheadStream.leadOfDirection:
            turn(.backwards, from: seen.lowerBound)
        case .backwards where lead >= ReadaheadStream.leadOfDirection:
            turn(.forwards, from: seen.upperBound)
        case .forwards: ahead = max(ahead, seen.upperBound)
        case .backwards: ahead = min(ahead, seen.lowerBound)
        case .strided: break
        }
    }

    /// The reader goes the other way: the stream begins anew at `page`.
    private mutating func turn(_ direction: Direction, from page: UInt64) {
        progress.lost += outstanding
        self.direction = direction
        ahead = page
        window = 0
        mark = nil
    }

    /// How many pages are asked for next, if nothing speaks against it: the double, within `minWindow` and `maxWindow`.
    func nextWindow(minWindow: UInt64, maxWindow: UInt64) -> UInt64 {
        assert(minWindow > 0 && minWindow <= maxWindow, "a window has a page")
        return min(max(window * 2, minWindow), maxWindow)
    }

    /// Plans the next pages to read ahead. They count as asked for. At most two windows are outstanding: one is read
    /// while the reader goes through the other. The larger of the old window and the new one counts. Otherwise a window
    /// that is smaller for lack of room would plan nothing, and leave the reader without a mark.
    /// - Parameter next: About how many: the new window.
    /// - Parameter end: The image's end.
    mutating func advance(by next: UInt64, end: UInt64) -> ReadaheadPlan {
        assert(next > 0, "a window has a page")
        let reach = 2 * max(window, next)
        window = next
        var plan = ReadaheadPlan()
        switch direction {
        case .forwards:
            let upTo = min(seen.upperBound + reach, end)
            guard ahead < upTo else { break }
            plan.add(ahead..<min(ahead + window, upTo), marked: ahead)
            ahead = min(ahead + window, upTo)
        case .backwards:
            let downTo = seen.lowerBound - min(seen.lowerBound, reach)
            guard ahead > downTo else { break }
            let from = max(ahead - min(ahead, window), downTo)
            plan.add(from..<ahead, marked: ahead - 1)
            ahead = from
        case .strided(let distance):
            addSteps(by: distance, reach: reach, end: end, to: &plan)
        }
        if plan.mark != nil { mark = plan.mark }
        return plan
    }

    /// The stream is used at `time`, because its reader has missed something or come to a mark.
    mutating func use(at time: UInt64, atMark: Bool) {
        if atMark { pause = max(time - usedAt, pause / 2) }
        usedAt = time
    }

    /// For how many accesses to the image the stream may be silent without being taken for dead: four times the last
    /// pause, because windows double, and not all readers take turns; at least a sixteenth of its window. (With a fixed
    /// 256, streams that had ended kept new ones out, and on nine of ten traces there were more misses.)
    var patience: UInt64 { window > 0 ? max(4 * pause, window / 16) : 0 }

    // MARK: What is outstanding

    /// Base pages that have been asked for, and that the reader is not known to have reached.
    var outstanding: UInt64 {
        switch direction {
        case .forwards: ahead - min(ahead, seen.upperBound)
        case .backwards: seen.lowerBound - min(ahead, seen.lowerBound)
        case .strided(let distance): stepsAhead(by: distance) * UInt64(latest.count)
        }
    }

    /// Those of them that exceed what the reader has reached. A reader that has gone on for long may be expected to go
    /// on for as long again.
    var atRisk: UInt64 { outstanding - min(outstanding, reached) }

    /// How many steps have been asked for past the latest access.
    private func stepsAhead(by distance: Int64) -> UInt64 {
        UInt64(max(0, (Int64(ahead) - Int64(latest.lowerBound)) / distance))
    }

    /// Whether `page` is one of the pages that are outstanding.
    func awaits(_ page: UInt64) -> Bool {
        guard window > 0 else { return false }
        switch direction {
        case .forwards: return seen.upperBound <= page && page < ahead
        case .backwards: return ahead <= page && page < seen.lowerBound
        case .strided(let distance):
            var (steps, rest) = (Int64(page) - Int64(latest.lowerBound)).quotientAndRemainder(dividingBy: distance)
            if rest < 0 { (steps, rest) = (steps - distance.signum(), rest + abs(distance)) }
            return steps > 0 && steps <= Int64(stepsAhead(by: distance)) && rest < latest.count
        }
    }

    /// The reader has come on: of `before` pages that were outstanding, or lost already, it has passed the others.
    private mutating func pass(_ before: UInt64) {
        let passed = before - min(before, outstanding + progress.lost)
        progress.passed += passed
        reached += passed
    }

    /// What has become of pages read ahead since the last call.
    mutating func takeProgress() -> Progress {
        defer { progress = Progress() }
        return progress
    }

    /// Some of what is outstanding has been recycled: the reader has gone, or the memory is too small for that much.
    /// Nothing counts as outstanding any more, and the first half of what the reader has reached no longer counts.
    mutating func giveUp() {
        reached /= 2
        given = outstanding
        let kept = min(reached, UInt64(seen.count - 1)) + 1
        switch direction {
        case .forwards:
            ahead = seen.upperBound
            seen = seen.upperBound - kept..<seen.upperBound
        case .backwards:
            ahead = seen.lowerBound
            seen = seen.lowerBound..<seen.lowerBound + kept
        case .strided: ahead = latest.lowerBound
        }
        window = 0
        mark = nil
    }

    // MARK: Strides

    /// How many steps `page` is past the latest access (negative before it). Nil if it is not on a step, or too many
    /// steps away.
    private func steps(to page: UInt64, by distance: Int64) -> Int64? {
        let (steps, rest) = (Int64(page) - Int64(latest.lowerBound)).quotientAndRemainder(dividingBy: distance)
        let maxSteps = Int64(2 * ReadaheadPlan.capacity)
        return rest == 0 && abs(steps) <= maxSteps ? steps : nil
    }

    /// The reader has reached the step that begins at `page`.
    private mutating func advanceStrided(to page: UInt64, by distance: Int64) {
        guard let steps = steps(to: page, by: distance), steps > 0 else { return }
        latest = page..<page + UInt64(latest.count)
        if (Int64(ahead) - Int64(page)) * distance.signum() < 0 { ahead = page }
    }

    /// Adds to the plan the next steps that have not been asked for. The first of them gets the mark.
    private mutating func addSteps(
        by distance: Int64, reach: UInt64, end: UInt64, to plan: inout ReadaheadPlan
    ) {
        let count = UInt64(latest.count)
        let maxBegin = (Int64(latest.lowerBound) + 2 * stepsAtOnce(reach / 2) * distance) * distance.signum()
        for _ in 0..<stepsAtOnce(window) {
            let begin = Int64(ahead) + distance
            guard begin >= 0, UInt64(begin) + count <= end, begin * distance.signum() <= maxBegin else { break }
            plan.add(UInt64(begin)..<UInt64(begin) + count, marked: plan.isEmpty ? UInt64(begin) : nil)
            ahead = UInt64(begin)
        }
    }

    /// How many steps a window of `pages` has.
    private func stepsAtOnce(_ pages: UInt64) -> Int64 {
        Int64(max(1, min(pages / UInt64(latest.count), UInt64(ReadaheadPlan.capacity))))
    }

    // MARK: Arrivals

    /// Notes the reader's arrival at the flexpage that begins at `page`, if that can be the one with this stream's
    /// mark. The stream goes on from there. If something else was resident at the mark, it is the next flexpage that
    /// has it.
    ///
    /// No other stream goes on. Otherwise a stream taken for backwards by mistake would hear of the right one's marks,
    /// and go on too.
    /// - Returns: Whether it can be that flexpage.
    mutating func arrive(at page: UInt64) -> Bool {
        guard window > 0, let mark, isMark(mark, inFlexpageAt: page) else { return false }
        self.mark = nil
        let before = outstanding + progress.lost
        switch direction {
        case .forwards: seen = seen.lowerBound..<max(seen.upperBound, page + 1)
        case .backwards: seen = min(seen.lowerBound, page)..<seen.upperBound
        case .strided(let distance): advanceStrided(to: mark, by: distance)
        }
        pass(before)
        return true
    }

    /// Whether a flexpage that begins at `page` can be the one with the mark: it lies in what was asked for with the
    /// mark.
    private func isMark(_ mark: UInt64, inFlexpageAt page: UInt64) -> Bool {
        switch direction {
        case .forwards: mark <= page && page < max(ahead, mark + 1)
        case .backwards: min(ahead, mark) <= page && page <= mark
        case .strided: mark <= page && page < mark + UInt64(latest.count)
        }
    }
}
