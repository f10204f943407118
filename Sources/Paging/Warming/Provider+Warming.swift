/// What is in memory of an image, and how it comes back after a restart.
extension Provider {
    /// The number of base pages that the image has.
    private var pageCount: UInt64 { UInt64(size + Int64(BasePage.size) - 1) / UInt64(BasePage.size) }

    /// Begins to read `runs` into memory that is free, in this order, in the background. What is resident already is
    /// skipped, and what lies past the end of the image. No request waits for it, and nothing is recycled for it. A
    /// Prefetcher does it; a caller has the image open meanwhile.
    ///
    /// - Parameter runs: The warmest first. They are visited once.
    public func warm(_ runs: some Sequence<ResidentRun>) {
        var inside: [PackedRun] = []
        // What is colder than what there will be memory for would take that from what is warmer.
        var left = UInt64(pages.maxFramesToWarm(ofImage: image))
        for run in runs where run.pages.lowerBound < pageCount {
            guard left > 0 else { break }
            let end = min(run.pages.upperBound, pageCount, run.pages.lowerBound + left)
            for part in (run.pages.lowerBound..<end).chunkParts { inside.append(PackedRun(part, warmth: run.warmth)) }
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
    /// A snapshot that holds no lock for longer than 128 flexpages take. O(n log n) for n flexpages of the image.
    public func residents(of provider: Provider) -> Residents? {
        // The walk ends if another image gets the number.
        guard var walk = beginWalk(provider) else { return nil }
        var found: [PackedRun] = []
        found.reserveCapacity(walk.flexpages)
        while pages.queue.step(
            &walk, { found.append(PackedRun($0.page..<$0.page + 1 << $0.order, warmth: $0.warmth, rank: $0.warmth)) })
        {}
        pages.queue.end(walk)
        guard has(provider) else { return nil }
        return Residents(found)
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
}
