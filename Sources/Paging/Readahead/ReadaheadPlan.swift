/// Pages to be read ahead, in a few runs, and the one of them that the reader's arrival at is to be told of.
struct ReadaheadPlan {
    /// Most runs in a plan.
    static let capacity = 8

    private var runs = InlineArray<8, Range<UInt64>>(repeating: 0..<0)
    private(set) var count = 0
    /// The page that triggers the next plan when somebody comes to it.
    private(set) var mark: UInt64?

    subscript(index: Int) -> Range<UInt64> { runs[index] }

    var isEmpty: Bool { count == 0 }

    /// Adds a run, if there is room for it.
    mutating func add(_ pages: Range<UInt64>, marked: UInt64?) {
        guard !pages.isEmpty, count < ReadaheadPlan.capacity else { return }
        runs[count] = pages
        count += 1
        if let marked { mark = marked }
    }
}
