@testable import Paging

/// A Readahead, and readers of an image whose pages are resident from the moment they are planned or missed.
final class ReadaheadRig {
    let readahead: Readahead
    /// Base pages in the image.
    let end: UInt64
    private(set) var plans: [ReadaheadPlan] = []
    private(set) var planned: [Range<UInt64>] = []
    private(set) var misses = 0
    /// Set if plans are made and then dropped.
    var isDropping = false
    private var resident: Set<UInt64> = []
    private var marks: Set<UInt64> = []

    init(pages: UInt64 = 10_000, maxWindow: Int = 256) {
        end = pages
        readahead = Readahead(imageSize: Int64(pages) * 4096 - 17, maxWindow: maxWindow)
    }

    deinit { readahead.destroy() }

    /// A reader arrives at `pages`.
    func access(_ pages: Range<UInt64>) {
        for mark in pages where marks.remove(mark) != nil { accept(readahead.arrived(at: mark, unused: .none)) }
        guard !pages.allSatisfy(resident.contains) else { return }
        misses += 1
        accept(readahead.missed(pages, unused: .none))
        resident.formUnion(pages)
    }

    private func accept(_ plan: ReadaheadPlan) {
        guard !plan.isEmpty else { return }
        plans.append(plan)
        // A page that is resident already is not read ahead, and so not marked.
        if let mark = plan.mark, !isDropping, !resident.contains(mark) { marks.insert(mark) }
        for index in 0..<plan.count {
            planned.append(plan[index])
            if !isDropping { resident.formUnion(plan[index]) }
        }
    }

    /// Base pages in plans that an earlier plan had.
    var pagesPlannedTwice: Int { planned.reduce(0) { $0 + $1.count } - Set(planned.joined()).count }
    var isPlannedTwice: Bool { pagesPlannedTwice > 0 }
}
