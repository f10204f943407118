import CStateFormat
import Glibc

/// What is owed to an image, for those who bring it there without a pager.
extension KeptState {
    /// A base page that is newer than what is known to be durable on its image.
    public struct OwedPage {
        /// The number of the base page in its image.
        public let page: UInt64
        /// The frame that holds it.
        public let frame: Int
    }

    /// The base pages that are owed to image `number`, in ascending order, each once. O(frames), and the sorting.
    public func owedPages(of number: Int) -> [OwedPage] {
        var owed: [OwedPage] = []
        for frame in 0..<frames {
            let word = self[frame]
            if word.isLive, word.isOwed, word.image == number { owed.append(OwedPage(page: word.page, frame: frame)) }
        }
        owed.sort { ($0.page, $0.frame) < ($1.page, $1.frame) }
        var previous: UInt64?
        // A server that died while it moved a page left it twice, with the same bytes (`KeptDamage`).
        return owed.filter { page in
            defer { previous = page.page }
            return page.page != previous
        }
    }

    /// The frame of a base page, if that is owed to image `number`. A server that died while it moved the page left it
    /// twice, with the same bytes; the other frame is given up. O(frames).
    public func frame(ofOwed page: UInt64, of number: Int) -> Int? {
        var found: Int?
        for frame in 0..<frames {
            let word = self[frame]
            guard word.isLive, word.isOwed, word.image == number, word.page == page else { continue }
            if found == nil { found = frame } else { self[frame] = .empty }
        }
        return found
    }

    /// What is owed of image `number` is durable, as far as `pages` go.
    public func settle(_ pages: [OwedPage], of number: Int) {
        let settled = Set(pages.map { $0.page })
        for frame in 0..<frames where self[frame].isOwed && self[frame].image == number {
            if settled.contains(self[frame].page) { settle(frame) }
        }
    }

    /// What is kept of image `number` and not owed is worth nothing. O(frames).
    public func dropClean(of number: Int) {
        for frame in 0..<frames {
            let word = self[frame]
            if word.isLive, !word.isOwed, word.image == number { self[frame] = .empty }
        }
    }
}
