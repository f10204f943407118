import Glibc

/// Jobs of reading ahead, of all images, until a thread of the Prefetcher does them. Lists of what is to be warmed come
/// after them (PrefetchQueue+Warming).
///
/// A bounded queue. If it is full, or more pages are asked for than may be under way at once, the rest of a plan is
/// dropped: no request ever waits for reading ahead.
///
/// If several images share the Memory, one of them has at most half of the queue, of the pages under way and of the
/// threads. So an image whose disk hangs does not stop the others.
///
/// Thread rules: any thread. Its lock is innermost.
struct PrefetchQueue: @unchecked Sendable {
    private static let capacity = 64
    /// How often a thread looks whether it may warm, milliseconds.
    private static let lookInterval = 5

    // These are internal only because the extension is a file of its own.
    let monitor = Monitor()
    let state: UnsafeMutablePointer<State>
    private let sizes: MemorySizes
    let isShared: Bool

    /// A run of one chunk of an image.
    struct Job {
        var provider: Unmanaged<Provider>?
        var pages: Range<UInt64> = 0..<0
        var mark: UInt64?
    }

    struct State {
        fileprivate var jobs = InlineArray<64, Job>(repeating: Job())
        fileprivate var first = 0
        fileprivate var count = 0
        /// Base pages that are queued or being read.
        fileprivate var pages = 0
        /// What each image has, by its number.
        fileprivate(set) var images: UnsafeMutablePointer<ImageJobs>
        /// The maximum of jobs under way of one image.
        fileprivate var maxUnderWayOfImage = Int.max
        fileprivate var hasThreads = false
        fileprivate var isStopping = false
        /// What is to be warmed, in the order in which the lists have come.
        var warmings: [Warming] = []
        var hasEndedWarming = false
        var pace: WarmPace
        /// Whether a thread looks now and then whether it may warm.
        fileprivate var isLooking = false
    }

    struct ImageJobs {
        var queued = 0
        var underWay = 0
        /// Base pages of both.
        var pages = 0
        /// Threads that warm the image at present.
        var warmers = 0
    }

    /// - Parameter isShared: Whether several images share the Memory.
    init(_ metadata: borrowing Metadata, _ sizes: MemorySizes, isShared: Bool) {
        self.isShared = isShared
        self.sizes = sizes
        let images = UnsafeMutablePointer<ImageJobs>.allocate(capacity: metadata.images)
        images.initialize(repeating: ImageJobs(), count: metadata.images)
        state = .allocate(capacity: 1)
        state.initialize(to: State(images: images, pace: WarmPace(metadata)))
    }

    func destroy() {
        monitor.destroy()
        state.pointee.images.deallocate()
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// Queues as much of the plan as there is room for, if there are threads that read ahead.
    func submit(_ plan: ReadaheadPlan, of provider: Unmanaged<Provider>) {
        monitor.lock()
        defer { monitor.unlock() }
        guard state.pointee.hasThreads else { return }
        for index in 0..<plan.count {
            for part in plan[index].chunkParts {
                guard add(part, mark(of: part, in: plan[index], plan.mark), provider) else { return }
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
        let image = provider._withUnsafeGuaranteedRef { Int($0.image) }
        let ofImage = state.pointee.images[image]
        let share = isShared ? 2 : 1
        guard state.pointee.count < PrefetchQueue.capacity, state.pointee.pages + pages.count <= maxPages,
            ofImage.queued < PrefetchQueue.capacity / share, ofImage.pages + pages.count <= maxPages / share
        else { return false }
        state.pointee.images[image].queued += 1
        state.pointee.images[image].pages += pages.count
        let slot = (state.pointee.first + state.pointee.count) % PrefetchQueue.capacity
        state.pointee.jobs[slot] = Job(provider: provider, pages: pages, mark: mark)
        state.pointee.count += 1
        state.pointee.pages += pages.count
        monitor.wakeAll()
        return true
    }

    /// The maximum number of base pages that are asked for and not yet read.
    var maxPages: Int { sizes.maxPagesAhead }

    /// Base pages that are queued or being read.
    var pagesUnderWay: Int { monitor.withLock { state.pointee.pages } }

    /// Waits for a job and does it.
    /// - Returns: False if the threads have to end.
    func work() -> Bool {
        monitor.lock()
        while !state.pointee.isStopping {
            if let position = nextPosition() {
                // Another one looks after the lists meanwhile.
                if !state.pointee.warmings.isEmpty { monitor.wakeAll() }
                doJob(at: position)
                return true
            }
            if warmIfMayBegin() { return true }
            waitForWork()
        }
        monitor.unlock()
        return false
    }

    /// While there is something to be warmed, one thread looks now and then whether it may. The lock is held.
    private func waitForWork() {
        guard !state.pointee.warmings.isEmpty, !state.pointee.isLooking else { return monitor.wait() }
        state.pointee.isLooking = true
        monitor.wait(milliseconds: PrefetchQueue.lookInterval)
        state.pointee.isLooking = false
    }

    /// The position in the queue of the first job whose image may have one more under way. The lock is held.
    private func nextPosition() -> Int? {
        (0..<state.pointee.count).first { position in
            guard let provider = state.pointee.jobs[slot(of: position)].provider else { return true }
            let image = provider._withUnsafeGuaranteedRef { Int($0.image) }
            return state.pointee.images[image].underWay < state.pointee.maxUnderWayOfImage
        }
    }

    private func slot(of position: Int) -> Int { (state.pointee.first + position) % PrefetchQueue.capacity }

    /// Does all jobs that are queued, and waits for none.
    func drain() {
        monitor.lock()
        while state.pointee.count > 0 {
            doJob(at: 0)
            monitor.lock()
        }
        monitor.unlock()
    }

    /// Takes the job at `position` out of the queue. The lock is held. O(position).
    private func take(at position: Int) -> Job {
        let job = state.pointee.jobs[slot(of: position)]
        for later in stride(from: position, to: 0, by: -1) {
            state.pointee.jobs[slot(of: later)] = state.pointee.jobs[slot(of: later - 1)]
        }
        state.pointee.jobs[state.pointee.first].provider = nil
        state.pointee.first = slot(of: 1)
        state.pointee.count -= 1
        return job
    }

    /// Does the job at `position`. The lock is held before and not after.
    private func doJob(at position: Int) {
        assert(position < state.pointee.count, "there is a job")
        let job = take(at: position)
        let image = job.provider?._withUnsafeGuaranteedRef { Int($0.image) }
        if let image {
            state.pointee.images[image].queued -= 1
            state.pointee.images[image].underWay += 1
        }
        monitor.unlock()
        // A thread that closes an image waits first until the image's jobs are done.
        job.provider?._withUnsafeGuaranteedRef { $0.mapper.readAhead(job.pages, mark: job.mark) }
        monitor.lock()
        state.pointee.pages -= job.pages.count
        assert(state.pointee.pages >= 0, "what has been read was queued")
        if let image {
            let wasFull = state.pointee.images[image].underWay == state.pointee.maxUnderWayOfImage
            state.pointee.images[image].underWay -= 1
            state.pointee.images[image].pages -= job.pages.count
            if wasFull || state.pointee.images[image].underWay == 0 { monitor.wakeAll() }
        }
        monitor.unlock()
    }

    /// Drops the jobs of an image that are queued, and its list, and waits until none of its jobs is under way. It does
    /// not wait for other images' jobs: if threads are always busy with those, it would never end (invariant 9).
    func forget(_ provider: Provider) {
        monitor.lock()
        let image = Int(provider.image)
        for index in 0..<PrefetchQueue.capacity
        where state.pointee.jobs[index].provider?.toOpaque() == Unmanaged.passUnretained(provider).toOpaque() {
            state.pointee.jobs[index].provider = nil
            state.pointee.images[image].queued -= 1
            state.pointee.images[image].pages -= state.pointee.jobs[index].pages.count
        }
        state.pointee.warmings.removeAll { $0.provider.toOpaque() == Unmanaged.passUnretained(provider).toOpaque() }
        while state.pointee.images[image].underWay > 0 || state.pointee.images[image].warmers > 0 { monitor.wait() }
        monitor.unlock()
    }

    /// `threads` threads call `work` from now on; none if it is nil.
    func setWorking(threads: Int?) {
        monitor.lock()
        state.pointee.hasThreads = threads != nil
        state.pointee.isStopping = threads == nil
        if isShared, let threads, threads > 0 { state.pointee.maxUnderWayOfImage = max(1, threads / 2) }
        monitor.wakeAll()
        monitor.unlock()
    }
}
