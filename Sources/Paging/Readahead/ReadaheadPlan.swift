/// Pages to read ahead, in a few runs, and the one of them that gets the mark.
struct ReadaheadPlan {
    /// The maximum number of runs in a plan.
    static let capacity = 8

    private var runs = InlineArray<8, Range<UInt64>>(repeating: 0..<0)
    private(set) var count = 0
    /// The page that triggers the next plan when a client reaches it.
    private(set) var mark: UInt64?

    subscript(index: Int) -> Range<UInt64> { runs[index] }

    var isEmpty: Bool { count == 0 }

    /// Adds a run, if there is room for it.
    mutating func add(_ pages: Range<UInt64>, marked: UInt64?) {
        assert(pages.isEmpty || marked.map(pages.contains) ?? true, "the mark is on a page of the run")
        guard !pages.isEmpty, count < ReadaheadPlan.capacity else { return }
        runs[count] = pages
        count += 1
        if let marked { mark = marked }
    }
}
