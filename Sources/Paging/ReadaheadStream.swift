/// A reader that seems to go through an image in a pattern, and how far has been read ahead of it.
///
///     forming ── a second access where the pattern puts it ──▶ running (windows double) ──▶ forgotten, when others need
///                                                                                          its place
///
/// All numbers are base pages. Tolerant of reordering: threads that serve one client's requests at once come here in
/// another order than the requests came to them.
struct ReadaheadStream {
    /// How the reader moves.
    enum Direction {
        case forwards, backwards
        /// By the same distance each time, which is more than what is read.
        case strided(Int64)
    }

    var direction = Direction.forwards
    /// The pages that the latest access was to, in the stream's order.
    var latest: Range<UInt64> = 0..<0
    /// Where the next access should begin (backwards: end).
    var next: UInt64 = 0
    /// Up to where (backwards: down to where) pages have been asked for ahead of the reader.
    var ahead: UInt64 = 0
    /// Pages that are asked for at once; 0 while the stream is forming.
    var window: UInt64 = 0
    /// Accesses that have followed the pattern.
    var accesses = 0
    /// The number of the access, of all to the image, that used it last.
    var usedAt: UInt64 = 0

    init() {}

    /// A stream that begins with an access to `pages`.
    init(_ pages: Range<UInt64>, at time: UInt64) {
        latest = pages
        next = pages.upperBound
        ahead = pages.upperBound
        accesses = 1
        usedAt = time
    }

    /// How far from where it is expected an access may be, so that sixteen requests in any order are one stream.
    private func slack(_ pages: Range<UInt64>) -> UInt64 { max(32, 16 * UInt64(pages.count)) }

    /// Follows an access to `pages` if it belongs to the stream.
    mutating func follow(_ pages: Range<UInt64>) -> Bool {
        switch direction {
        case .forwards:
            guard continuesForwards(pages) else { return turn(pages) }
            next = max(next, pages.upperBound)
            ahead = max(ahead, next)
        case .backwards:
            guard pages.upperBound <= next + slack(pages), next <= pages.upperBound + slack(pages) else { return false }
            next = min(next, pages.lowerBound)
            ahead = min(ahead, next)
        case .strided(let distance):
            guard Int64(pages.lowerBound) - Int64(latest.lowerBound) == distance else { return false }
            next = pages.upperBound
        }
        latest = pages
        accesses += 1
        return true
    }

    private func continuesForwards(_ pages: Range<UInt64>) -> Bool {
        pages.lowerBound <= next + slack(pages) && next <= pages.lowerBound + slack(pages)
            && (accesses > 1 || pages.lowerBound >= latest.lowerBound)
    }

    /// A stream of one access takes its direction from the second.
    private mutating func turn(_ pages: Range<UInt64>) -> Bool {
        guard accesses == 1 else { return false }
        if pages.upperBound <= latest.lowerBound, latest.lowerBound - pages.upperBound <= slack(pages) {
            direction = .backwards
            next = pages.lowerBound
            ahead = pages.lowerBound
        } else {
            let distance = Int64(pages.lowerBound) - Int64(latest.lowerBound)
            guard abs(distance) <= 65536, pages.count == latest.count else { return false }
            direction = .strided(distance)
            next = pages.upperBound
        }
        latest = pages
        accesses = 2
        return true
    }

    /// The next pages to be read ahead, after a doubling of the window, which ends up at `least` to `most`; they are
    /// taken for asked for.
    /// - Parameter end: The image's end.
    mutating func advance(least: UInt64, most: UInt64, end: UInt64) -> ReadaheadPlan {
        window = min(max(window * 2, least), most)
        var plan = ReadaheadPlan()
        switch direction {
        case .forwards:
            let upTo = min(next + 2 * window, end)
            guard ahead < upTo else { break }
            plan.add(ahead..<min(ahead + window, upTo), marked: ahead)
            ahead = min(ahead + window, upTo)
        case .backwards:
            let downTo = next - min(next, 2 * window)
            guard ahead > downTo else { break }
            let from = max(ahead - min(ahead, window), downTo)
            plan.add(from..<ahead, marked: ahead - 1)
            ahead = from
        case .strided(let distance):
            addSteps(by: distance, end: end, to: &plan)
        }
        return plan
    }

    /// Asks for the places that the next steps lead to; the first step is marked.
    private mutating func addSteps(by distance: Int64, end: UInt64, to plan: inout ReadaheadPlan) {
        let count = UInt64(latest.count)
        let steps = max(1, min(window / count, UInt64(ReadaheadPlan.capacity)))
        var begin = Int64(latest.lowerBound)
        for step in 0..<steps {
            begin += distance
            guard begin >= 0, UInt64(begin) + count <= end else { break }
            let pages = UInt64(begin)..<UInt64(begin) + count
            plan.add(pages, marked: step == 0 ? pages.lowerBound : nil)
        }
        // The reader's arrival at the mark continues from there.
    }

    /// Whether the reader has come to what was read ahead of it, at `page`; the stream goes on from there.
    mutating func arrive(at page: UInt64) -> Bool {
        guard window > 0 else { return false }
        switch direction {
        case .forwards:
            guard page < ahead, page + 4 * window >= ahead else { return false }
            next = max(next, page + 1)
        case .backwards:
            guard page >= ahead, page <= ahead + 4 * window else { return false }
            next = min(next, page)
        case .strided(let distance):
            guard Int64(page) == Int64(latest.lowerBound) + distance else { return false }
            latest = page..<page + UInt64(latest.count)
        }
        return true
    }
}
