/// What is in memory of an image, and how it comes back after a restart.
extension Provider {
    /// The number of base pages that the image has.
    private var pageCount: UInt64 { UInt64(size + Int64(BasePage.size) - 1) / UInt64(BasePage.size) }

    /// Begins to read `runs` into memory that is free, in this order, in the background. What is resident already is
    /// skipped, and what lies past the end of the image. No request waits for it, and nothing is recycled for it. A
    /// Prefetcher does it; a caller has the image open meanwhile.
    public func warm(_ runs: [ResidentRun]) {
        var inside: [ResidentRun] = []
        // A list of a server with more memory is cut to what this one has.
        var left = UInt64(pages.frames)
        for run in runs where run.pages.lowerBound < pageCount && left > 0 {
            let end = min(run.pages.upperBound, pageCount, run.pages.lowerBound + left)
            inside.append(ResidentRun(run.pages.lowerBound..<end, warmth: run.warmth))
            left -= end - run.pages.lowerBound
        }
        guard !inside.isEmpty else { return noteWarm() }
        warmed.store(false, ordering: .releasing)
        prefetches.beginWarming(Warming(self, inside))
    }

    /// Whether a list that `warm` was given has been read, as far as there was memory.
    public var isWarm: Bool { warmed.load(ordering: .acquiring) }

    /// Whether such a list is on its way.
    public var isWarming: Bool { prefetches.isWarming(self) }

    func noteWarm() { warmed.store(true, ordering: .releasing) }
}

extension ProviderRegistry {
    /// The images that have a Provider: those in use, and those that rest.
    public var providers: [Provider] { monitor.withLock { entries.map(\.provider) } }

    /// What is in memory of the image, the warmest first, and by place where it is equally warm. Nil if the registry
    /// does not have the image any more.
    ///
    /// A snapshot that holds no lock for longer than 128 flexpages take. It takes 8 bytes for each flexpage of the
    /// image meanwhile, and O(n log n) for n of them.
    public func residents(of provider: Provider) -> [ResidentRun]? {
        // The walk ends if another image gets the number.
        guard var walk = beginWalk(provider) else { return nil }
        var found: [UInt64] = []
        found.reserveCapacity(walk.flexpages)
        while pages.queue.step(&walk, { found.append(ProviderRegistry.pack($0)) }) {}
        pages.queue.end(walk)
        guard has(provider) else { return nil }
        found.sort()
        return ProviderRegistry.runs(found)
    }

    private func has(_ provider: Provider) -> Bool {
        monitor.withLock { entries.contains { $0.provider === provider } }
    }

    private func beginWalk(_ provider: Provider) -> PageQueue.Walk? {
        while true {
            let (isThere, walk) = monitor.withLock { () -> (Bool, PageQueue.Walk?) in
                guard entries.contains(where: { $0.provider === provider }) else { return (false, nil) }
                return (true, pages.queue.beginWalk(ofImage: provider.image))
            }
            guard walk == nil, isThere else { return walk }
            MonotonicClock.sleepBriefly()
        }
    }

    /// A number that is the smaller the warmer the flexpage is, and then by its place.
    private static func pack(_ visit: PageQueue.Visit) -> UInt64 {
        UInt64(ResidentRun.maxWarmth - visit.warmth) << 52 | visit.page << 4 | UInt64(visit.order)
    }

    /// The runs that `sorted` flexpages make, joined where one follows another.
    private static func runs(_ sorted: [UInt64]) -> [ResidentRun] {
        var runs: [ResidentRun] = []
        for packed in sorted {
            let warmth = ResidentRun.maxWarmth - UInt8(packed >> 52)
            let page = packed >> 4 & PageKey.pageMask
            let end = page + (1 << (packed & 0xF))
            if let last = runs.last, last.warmth == warmth, page <= last.pages.upperBound {
                runs[runs.count - 1] = ResidentRun(
                    last.pages.lowerBound..<max(last.pages.upperBound, end), warmth: warmth)
            } else {
                runs.append(ResidentRun(page..<end, warmth: warmth))
            }
        }
        return runs
    }
}
