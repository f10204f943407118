import Glibc
import Synchronization

/// How long the calls of one kind took: how many took at most 2⁰, 2¹, … 2²⁶ microseconds, and how long all took
/// together, and how many of them threw an error.
///
/// Thread rules: any thread, without a lock. O(1): two looks at the clock and four additions a call, beside calls of an
/// Accessor.
struct LatencyHistogram: @unchecked Sendable {
    private let record: UnsafeMutablePointer<Record>
    /// That of all images, which counts the same calls and lasts longer.
    private let whole: UnsafeMutablePointer<Record>?

    // No protocol depends on them, so a Scheduler draws no order at them.
    private struct Record: ~Copyable {
        let counts = InlineArray<28, Synchronization.Atomic<UInt64>> { _ in Synchronization.Atomic(0) }
        let microseconds = Synchronization.Atomic<UInt64>(0)
        let failures = Synchronization.Atomic<UInt64>(0)
    }

    /// - Parameter whole: What counts the same calls; nil if nothing else does.
    init(partOf whole: LatencyHistogram? = nil) {
        self.whole = whole?.record
        record = .allocate(capacity: 1)
        record.initialize(to: Record())
    }

    func destroy() {
        record.deinitialize(count: 1)
        record.deallocate()
    }

    /// Counts how long `call` takes, whether it succeeds or not.
    @inline(__always)
    func measure<Result, Failure>(_ call: () throws(Failure) -> Result) throws(Failure) -> Result {
        let begin = LatencyHistogram.nanoseconds
        defer { count((LatencyHistogram.nanoseconds &- begin) / 1000) }
        do throws(Failure) {
            return try call()
        } catch {
            record.pointee.failures.wrappingAdd(1, ordering: .relaxed)
            whole?.pointee.failures.wrappingAdd(1, ordering: .relaxed)
            throw error
        }
    }

    /// Counts a call, by the time that it took.
    func count(_ microseconds: UInt64) {
        let index = min(Latencies.bucketCount, microseconds <= 1 ? 0 : 64 - (microseconds - 1).leadingZeroBitCount)
        add(microseconds, at: index, to: record)
        if let whole { add(microseconds, at: index, to: whole) }
    }

    private func add(_ microseconds: UInt64, at index: Int, to record: UnsafeMutablePointer<Record>) {
        record.pointee.counts[index].wrappingAdd(1, ordering: .relaxed)
        record.pointee.microseconds.wrappingAdd(microseconds, ordering: .relaxed)
    }

    /// What has been counted. Calls that end meanwhile may be in one part of it and not in another.
    var snapshot: Latencies {
        var latencies = Latencies()
        for index in 0...Latencies.bucketCount {
            latencies.counts[index] = record.pointee.counts[index].load(ordering: .relaxed)
        }
        latencies.microseconds = record.pointee.microseconds.load(ordering: .relaxed)
        latencies.failures = record.pointee.failures.load(ordering: .relaxed)
        return latencies
    }

    /// Not of MonotonicClock, which a Scheduler replaces: nothing waits for this.
    private static var nanoseconds: UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
    }
}
