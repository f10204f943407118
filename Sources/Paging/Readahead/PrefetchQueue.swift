import Glibc

/// What is to be read ahead, of all images, until a thread of the Prefetcher does it.
///
/// A bounded queue: where it is full, or the pages asked for are more than may be under way at once, the rest of a plan
/// is dropped, because reading ahead is never waited for.
///
/// Thread rules: any thread. Its lock is innermost.
struct PrefetchQueue: @unchecked Sendable {
    private static let capacity = 64

    private let monitor = Monitor()
    private let state: UnsafeMutablePointer<State>
    /// Base pages that may be asked for and not yet there.
    let maxPages: Int

    /// A run of one chunk of an image.
    struct Job {
        var provider: Unmanaged<Provider>?
        var pages: Range<UInt64> = 0..<0
        var mark: UInt64?
    }

    private struct State {
        var jobs = InlineArray<64, Job>(repeating: Job())
        var first = 0
        var count = 0
        /// Base pages queued and being read.
        var pages = 0
        var hasThreads = false
        var isStopping = false
    }

    init(frames: Int) {
        maxPages = min(max(1, frames / 4), 8192)
        state = .allocate(capacity: 1)
        state.initialize(to: State())
    }

    func destroy() {
        monitor.destroy()
        state.deallocate()
    }

    /// Queues as much of the plan as there is room for, if there are threads to do it.
    func submit(_ plan: ReadaheadPlan, of provider: Unmanaged<Provider>) {
        monitor.lock()
        defer { monitor.unlock() }
        guard state.pointee.hasThreads else { return }
        for index in 0..<plan.count {
            var left = plan[index]
            while !left.isEmpty {
                let end = min((left.lowerBound | UInt64(Chunk.pages - 1)) + 1, left.upperBound)
                let part = left.lowerBound..<end
                guard add(part, mark(of: part, in: plan[index], plan.mark), provider) else { return }
                left = end..<left.upperBound
            }
        }
    }

    /// Each part of the run that has the plan's mark has one at the same end: the reader's arrival at the first that
    /// could be marked counts, and all is resident already in some.
    private func mark(of part: Range<UInt64>, in run: Range<UInt64>, _ mark: UInt64?) -> UInt64? {
        guard let mark, run.contains(mark) else { return nil }
        return mark == run.lowerBound ? part.lowerBound : part.upperBound - 1
    }

    private func add(_ pages: Range<UInt64>, _ mark: UInt64?, _ provider: Unmanaged<Provider>) -> Bool {
        guard state.pointee.count < PrefetchQueue.capacity, state.pointee.pages + pages.count <= maxPages else {
            return false
        }
        let slot = (state.pointee.first + state.pointee.count) % PrefetchQueue.capacity
        state.pointee.jobs[slot] = Job(provider: provider, pages: pages, mark: mark)
        state.pointee.count += 1
        state.pointee.pages += pages.count
        monitor.wakeAll()
        return true
    }

    /// Base pages queued and being read.
    var pagesUnderWay: Int { monitor.withLock { state.pointee.pages } }

    /// Does the next job, waiting for one.
    /// - Returns: False when the threads are to go home.
    func work() -> Bool {
        monitor.lock()
        while state.pointee.count == 0, !state.pointee.isStopping { monitor.wait() }
        guard !state.pointee.isStopping else {
            monitor.unlock()
            return false
        }
        doNext()
        return true
    }

    /// Does all that is queued, and waits for nothing.
    func drain() {
        monitor.lock()
        while state.pointee.count > 0 {
            doNext()
            monitor.lock()
        }
        monitor.unlock()
    }

    /// Does the first job that is queued. The lock is held before and not after.
    private func doNext() {
        let job = state.pointee.jobs[state.pointee.first]
        state.pointee.first = (state.pointee.first + 1) % PrefetchQueue.capacity
        state.pointee.count -= 1
        job.provider?._withUnsafeGuaranteedRef { $0.prefetchesUnderWay += 1 }
        monitor.unlock()
        // Whoever closes an image first waits until its jobs are done.
        job.provider?._withUnsafeGuaranteedRef { $0.mapper.readAhead(job.pages, mark: job.mark) }
        monitor.lock()
        state.pointee.pages -= job.pages.count
        job.provider?._withUnsafeGuaranteedRef {
            $0.prefetchesUnderWay -= 1
            if $0.prefetchesUnderWay == 0 { monitor.wakeAll() }
        }
        monitor.unlock()
    }

    /// Drops what is queued of an image, and waits until nothing of it is being read ahead. It waits for no other
    /// image: with threads that are always busy with those it would never end (invariant 9).
    func forget(_ provider: Provider) {
        monitor.lock()
        for index in 0..<PrefetchQueue.capacity
        where state.pointee.jobs[index].provider?.toOpaque() == Unmanaged.passUnretained(provider).toOpaque() {
            state.pointee.jobs[index].provider = nil
        }
        while provider.prefetchesUnderWay > 0 { monitor.wait() }
        monitor.unlock()
    }

    /// From now on there are threads that call `work`; or there are none any more.
    func setWorking(_ isWorking: Bool) {
        monitor.lock()
        state.pointee.hasThreads = isWorking
        state.pointee.isStopping = !isWorking
        monitor.wakeAll()
        monitor.unlock()
    }
}
