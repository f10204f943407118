import Synchronization

/// Of one image: where there was a hole when the image was last asked.
///
/// It is a reason to ask the image before a read, and never an answer. It may be out of date, and its two ends may be
/// those of two holes. Thread rules: any thread, any time, no lock.
struct HoleHint: ~Copyable {
    private let begin = Atomic<Int64>(0)
    private let end = Atomic<Int64>(0)

    init() {}

    /// There is, or was, a hole at `range`; nowhere if that is empty.
    func note(_ range: Range<Int64>) {
        begin.store(range.lowerBound, ordering: .relaxed)
        end.store(range.upperBound, ordering: .relaxed)
    }

    func contains(_ offset: Int64) -> Bool {
        begin.load(ordering: .relaxed) <= offset && offset < end.load(ordering: .relaxed)
    }
}
