import Paging

/// Runs a trace through the plugin's pager, in one thread, with images that have no contents.
struct Simulation {
    /// Bytes. `countsTables` says what they bound.
    let memory: Int
    let way: PagingWay
    /// Whether `memory` bounds pages and tables together, like the plugin's `memory=`, or pages alone, as in other
    /// simulators.
    var countsTables = false
    /// Whether writes are simulated as writes, or count as reads.
    var writes = false

    /// Runs the whole trace, beginning with an empty cache.
    func run(_ trace: Trace) throws -> Figures {
        let pages = try makePages()
        let registry = ProviderRegistry(pages: pages)
        let images = trace.imageSizes.map(SimulatedImage.init)
        let pagers = try images.enumerated().map { number, image in
            Pager(try registry.open(ImageIdentity(device: 0, inode: UInt64(number))) { image })
        }
        let prefetcher = try Prefetcher(pages: pages, threads: 0)
        defer { prefetcher.stop() }
        var readsAhead = 0
        let writer = SimulatedWriter(pages: pages, pagers: pagers)
        for request in trace.requests {
            if writes, request.operation == .write {
                try writer.write(request.range, to: pagers[request.image])
            } else {
                try pagers[request.image].populate(request.range)
            }
            guard way == .ahead else { continue }
            let before = images[request.image].traffic.reads
            prefetcher.drain()
            readsAhead += images[request.image].traffic.reads - before
        }
        try writer.flush()
        let counters = pages.counters
        return Figures(
            trace: trace.name, memory: memory, frames: pages.frames, way: way,
            requests: trace.requests.count, pagesRead: Int(counters.hits + counters.misses),
            misses: Int(counters.misses), readsAhead: readsAhead, traffic: images.map(\.traffic).reduce(Traffic(), +))
    }

    private func makePages() throws -> Pages {
        try Pages(
            memory: countsTables ? memory : Pages.memory(forFrames: memory / BasePage.size),
            readahead: way == .ahead ? Pages.defaultReadahead : 0,
            maxPagesOfFill: way == .fixed ? 1 : Pages.maxFill)
    }
}
