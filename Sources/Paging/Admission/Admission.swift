/// A number of base pages that one writer may make dirty now.
///
/// What the writer does not use goes back when the Admission ends, or earlier: no thread keeps one while it waits for
/// anything (invariant 9). It lives on the writer's stack.
struct Admission: ~Copyable {
    private let dirtyLimit: DirtyLimit
    /// Base pages that are left of it.
    private(set) var count: Int

    /// - Parameter count: Base pages that `dirtyLimit` has admitted.
    init(_ count: Int, of dirtyLimit: DirtyLimit) {
        self.dirtyLimit = dirtyLimit
        self.count = count
    }

    /// `pages` of the base pages are dirty now.
    mutating func use(_ pages: Int) {
        assert(pages >= 0 && pages <= count, "no more becomes dirty than was admitted")
        count -= pages
    }

    /// Gives back what is left.
    mutating func giveBack() {
        dirtyLimit.release(count)
        count = 0
    }

    deinit { dirtyLimit.release(count) }
}
