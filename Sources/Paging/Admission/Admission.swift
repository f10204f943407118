/// Base pages that one writer may make dirty now.
///
/// What it does not use goes back when the Admission ends, or earlier: nobody keeps one while waiting for anything
/// (invariant 9). It lives on the writer's stack.
struct Admission: ~Copyable {
    private let gauge: DirtGauge
    /// Base pages left of it.
    private(set) var count: Int

    /// - Parameter count: Base pages that `gauge` has admitted.
    init(_ count: Int, of gauge: DirtGauge) {
        self.gauge = gauge
        self.count = count
    }

    /// So many of the pages are dirty now.
    mutating func use(_ pages: Int) {
        assert(pages <= count, "no more becomes dirty than was admitted")
        count -= pages
    }

    /// Gives back what is left.
    mutating func giveBack() {
        gauge.release(count)
        count = 0
    }

    deinit { gauge.release(count) }
}
