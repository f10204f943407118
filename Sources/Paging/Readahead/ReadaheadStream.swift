/// A reader that seems to go through an image in a pattern, and how far has been read ahead of it.
///
///     forming ── accesses go on where the pattern puts them ──▶ running (windows double) ──▶ forgotten, when
///                                                                                             another needs its place
///
/// All numbers are base pages. Tolerant of reordering: threads that serve one client's requests at once come here in
/// another order than the requests came to them. So one access says little about where the reader goes: the direction
/// is what most accesses say that widen what the stream has seen, and the same page missed again says nothing.
struct ReadaheadStream {
    /// How the reader moves.
    enum Direction {
        case forwards, backwards
        /// By the same distance each time, which is more than what is read.
        case strided(Int64)
    }

    var direction = Direction.forwards
    /// The pages that the latest access was to; of a strided stream, the furthest one.
    var latest: Range<UInt64> = 0..<0
    /// From the least to the most page that the reader has come to.
    private var seen: Range<UInt64> = 0..<0
    /// Accesses that went on upwards less those that went on downwards, cut off at `maxLead`.
    private var lead = 0
    /// Up to where (backwards: down to where) pages have been asked for ahead of the reader; strided: the furthest
    /// place.
    var ahead: UInt64 = 0
    /// The page that was marked last, until the reader comes to it.
    private var mark: UInt64?
    /// Pages that are asked for at once; 0 while the stream is forming.
    var window: UInt64 = 0
    /// Accesses that have followed the pattern; 0 where there is no stream.
    var accesses = 0
    /// The number of the access, of all to the image, that used it last.
    var usedAt: UInt64 = 0

    /// A lead that makes a direction, and the largest one.
    private static let leadOfDirection = 2
    private static let maxLead = 8
    /// Requests of a client that come in any order.
    private static let reordered: UInt64 = 16
    /// The longest stride: 256 MiB.
    private static let maxStride: Int64 = 65536
    /// Places in a row that a strided reader must have come to.
    private static let stridesOfPattern = 4

    init() {}

    /// A stream that begins with an access to `pages`.
    init(_ pages: Range<UInt64>, at time: UInt64) {
        latest = pages
        seen = pages
        ahead = pages.upperBound
        accesses = 1
        usedAt = time
    }

    /// The strided stream that accesses of two streams and one to `pages` make, if they lie at equal distances and none
    /// of the three has been followed by a neighbour. One access more is to confirm it, because among many random
    /// places some three lie so.
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
    }

    /// Whether a miss of `pages`, which it has followed, is to have more read ahead: it has a pattern, and there was
    /// nothing read ahead or the reader has come to its end. A miss before that (what was asked for is late or has been
    /// dropped) says nothing new; if it made the window grow, a stream taken for one in the wrong direction would ask
    /// for megabytes before it is known better.
    func isDue(_ pages: Range<UInt64>) -> Bool {
        switch direction {
        case .strided: accesses >= ReadaheadStream.stridesOfPattern && ahead == latest.lowerBound
        case .forwards: window > 0 ? pages.upperBound >= ahead : lead >= ReadaheadStream.leadOfDirection
        case .backwards: window > 0 ? pages.lowerBound <= ahead : lead <= -ReadaheadStream.leadOfDirection
        }
    }

    /// How far from where it is expected an access may be, so that sixteen requests in any order are one stream.
    private func slack(_ pages: Range<UInt64>) -> UInt64 {
        max(2 * ReadaheadStream.reordered, ReadaheadStream.reordered * UInt64(pages.count))
    }

    /// Follows an access to `pages` if it belongs to the stream.
    mutating func follow(_ pages: Range<UInt64>) -> Bool {
        if case .strided(let distance) = direction {
            guard pages.count == latest.count, let steps = steps(to: pages.lowerBound, by: distance) else {
                return false
            }
            if steps > 0 { accesses += 1 }
            advanceStrided(to: pages.lowerBound, by: distance)
        } else {
            guard near.overlaps(widened(pages, by: slack(pages))) else { return false }
            if pages != latest { accesses += 1 }
            note(pages)
            latest = pages
        }
        return true
    }

    /// Where the reader is, and what has been asked for ahead of it: what was dropped of that is missed there.
    private var near: Range<UInt64> {
        guard window > 0 else { return seen }
        switch direction {
        case .backwards: return min(ahead, seen.lowerBound)..<seen.lowerBound + 1
        default: return seen.upperBound - 1..<max(ahead, seen.upperBound)
        }
    }

    private func widened(_ pages: Range<UInt64>, by slack: UInt64) -> Range<UInt64> {
        pages.lowerBound - min(pages.lowerBound, slack)..<pages.upperBound + slack
    }

    /// Learns from an access where the reader goes.
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

    /// It goes the other way.
    private mutating func turn(_ direction: Direction, from page: UInt64) {
        self.direction = direction
        ahead = page
        window = 0
        mark = nil
    }

    /// The next pages to be read ahead, after a doubling of the window, which ends up at `minWindow` to `maxWindow`;
    /// they are taken for asked for.
    /// - Parameter end: The image's end.
    mutating func advance(minWindow: UInt64, maxWindow: UInt64, end: UInt64) -> ReadaheadPlan {
        window = min(max(window * 2, minWindow), maxWindow)
        var plan = ReadaheadPlan()
        switch direction {
        case .forwards:
            let upTo = min(seen.upperBound + 2 * window, end)
            guard ahead < upTo else { break }
            plan.add(ahead..<min(ahead + window, upTo), marked: ahead)
            ahead = min(ahead + window, upTo)
        case .backwards:
            let downTo = seen.lowerBound - min(seen.lowerBound, 2 * window)
            guard ahead > downTo else { break }
            let from = max(ahead - min(ahead, window), downTo)
            plan.add(from..<ahead, marked: ahead - 1)
            ahead = from
        case .strided(let distance):
            addSteps(by: distance, end: end, to: &plan)
        }
        if plan.mark != nil { mark = plan.mark }
        return plan
    }

    // MARK: Strides

    /// How many steps `page` is past the latest place (before it: less than 0), or nil where it is none of the places
    /// that the reader goes to next or has just gone to.
    private func steps(to page: UInt64, by distance: Int64) -> Int64? {
        let (steps, rest) = (Int64(page) - Int64(latest.lowerBound)).quotientAndRemainder(dividingBy: distance)
        let maxSteps = Int64(2 * ReadaheadPlan.capacity)
        return rest == 0 && abs(steps) <= maxSteps ? steps : nil
    }

    /// The reader has come to the place that begins with `page`.
    private mutating func advanceStrided(to page: UInt64, by distance: Int64) {
        guard let steps = steps(to: page, by: distance), steps > 0 else { return }
        latest = page..<page + UInt64(latest.count)
        if (Int64(ahead) - Int64(page)) * distance.signum() < 0 { ahead = page }
    }

    /// Asks for the places that the next steps lead to and that have not been asked for; the first of them is marked.
    private mutating func addSteps(by distance: Int64, end: UInt64, to plan: inout ReadaheadPlan) {
        let count = UInt64(latest.count)
        let atOnce = Int64(max(1, min(window / count, UInt64(ReadaheadPlan.capacity))))
        // Of two windows, one is being read while the reader goes through the other.
        let maxBegin = (Int64(latest.lowerBound) + 2 * atOnce * distance) * distance.signum()
        for _ in 0..<atOnce {
            let begin = Int64(ahead) + distance
            guard begin >= 0, UInt64(begin) + count <= end, begin * distance.signum() <= maxBegin else { break }
            plan.add(UInt64(begin)..<UInt64(begin) + count, marked: plan.isEmpty ? UInt64(begin) : nil)
            ahead = UInt64(begin)
        }
    }

    // MARK: Arrivals

    /// Whether the reader has come to what was read ahead of it: to the flexpage with the mark, which begins with
    /// `page`, and is the next one where something else was resident at the mark. The stream goes on from there. No
    /// other stream does: one that was taken for backwards by mistake would hear of the marks of the right one, and go
    /// on.
    mutating func arrive(at page: UInt64) -> Bool {
        guard window > 0, let mark, isMark(mark, inFlexpageAt: page) else { return false }
        self.mark = nil
        switch direction {
        case .forwards: seen = seen.lowerBound..<max(seen.upperBound, page + 1)
        case .backwards: seen = min(seen.lowerBound, page)..<seen.upperBound
        case .strided(let distance): advanceStrided(to: mark, by: distance)
        }
        return true
    }

    /// Whether a flexpage that begins with `page` can be the one with the mark: it lies in what was asked for with the
    /// mark.
    private func isMark(_ mark: UInt64, inFlexpageAt page: UInt64) -> Bool {
        switch direction {
        case .forwards: mark <= page && page < max(ahead, mark + 1)
        case .backwards: min(ahead, mark) <= page && page <= mark
        case .strided: mark <= page && page < mark + UInt64(latest.count)
        }
    }
}
