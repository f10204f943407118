import Glibc

/// Jobs of reading ahead, of all images, until a thread of the Prefetcher does them.
///
/// A bounded queue. If it is full, or more pages are asked for than may be under way at once, the rest of a plan is
/// dropped: no request ever waits for reading ahead.
///
/// Thread rules: any thread. Its lock is innermost.
struct PrefetchQueue: @unchecked Sendable {
    private static let capacity = 64

    private let monitor = Monitor()
    private let state: UnsafeMutablePointer<State>
    /// The maximum number of base pages that are asked for and not yet read.
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
        /// Base pages that are queued or being read.
        var pages = 0
        /// Jobs under way, of each image.
        let jobsUnderWay: UnsafeMutablePointer<Int>
        var hasThreads = false
        var isStopping = false
    }

    init(_ metadata: borrowing Metadata) {
        maxPages = min(max(1, metadata.frames / 4), 8192)
        let jobsUnderWay = UnsafeMutablePointer<Int>.allocate(capacity: metadata.images)
        jobsUnderWay.initialize(repeating: 0, count: metadata.images)
        state = .allocate(capacity: 1)
        state.initialize(to: State(jobsUnderWay: jobsUnderWay))
    }

    func destroy() {
        monitor.destroy()
        state.pointee.jobsUnderWay.deallocate()
        state.deallocate()
    }

    /// Queues as much of the plan as there is room for, if there are threads that read ahead.
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

    /// The mark of a part of a run. A run is queued chunk by chunk. If the run has the plan's mark, each part gets one
    /// at the same end. In some parts all pages may be resident, and these cannot carry it. The first mark that the
    /// reader reaches counts.
    private func mark(of part: Range<UInt64>, in run: Range<UInt64>, _ mark: UInt64?) -> UInt64? {
        guard let mark, run.contains(mark) else { return nil }
        return mark == run.lowerBound ? part.lowerBound : part.upperBound - 1
    }

    /// Queues a job. The lock is held.
    /// - Returns: False if there is no room for it.
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

    /// Base pages that are queued or being read.
    var pagesUnderWay: Int { monitor.withLock { state.pointee.pages } }

    /// Waits for a job and does it.
    /// - Returns: False if the threads have to end.
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

    /// Does all jobs that are queued, and waits for none.
    func drain() {
        monitor.lock()
        while state.pointee.count > 0 {
            doNext()
            monitor.lock()
        }
        monitor.unlock()
    }

    /// Does the first job of the queue. The lock is held before and not after.
    private func doNext() {
        assert(state.pointee.count > 0, "there is a job")
        let job = state.pointee.jobs[state.pointee.first]
        state.pointee.first = (state.pointee.first + 1) % PrefetchQueue.capacity
        state.pointee.count -= 1
        let image = job.provider?._withUnsafeGuaranteedRef { Int($0.image) }
        if let image { state.pointee.jobsUnderWay[image] += 1 }
        monitor.unlock()
        // A thread that closes an image waits first until the image's jobs are done.
        job.provider?._withUnsafeGuaranteedRef { $0.mapper.readAhead(job.pages, mark: job.mark) }
        monitor.lock()
        state.pointee.pages -= job.pages.count
        assert(state.pointee.pages >= 0, "what has been read was queued")
        if let image {
            state.pointee.jobsUnderWay[image] -= 1
            if state.pointee.jobsUnderWay[image] == 0 { monitor.wakeAll() }
        }
        monitor.unlock()
    }

    /// Drops the jobs of an image that are queued, and waits until none of its jobs is under way. It does not wait for
    /// other images' jobs: if threads are always busy with those, it would never end (invariant 9).
    func forget(_ provider: Provider) {
        monitor.lock()
        for index in 0..<PrefetchQueue.capacity
        where state.pointee.jobs[index].provider?.toOpaque() == Unmanaged.passUnretained(provider).toOpaque() {
            state.pointee.jobs[index].provider = nil
        }
        while state.pointee.jobsUnderWay[Int(provider.image)] > 0 { monitor.wait() }
        monitor.unlock()
    }

    /// Says whether there are threads that call `work` from now on.
    func setWorking(_ isWorking: Bool) {
        monitor.lock()
        state.pointee.hasThreads = isWorking
        state.pointee.isStopping = !isWorking
        monitor.wakeAll()
        monitor.unlock()
    }
}
