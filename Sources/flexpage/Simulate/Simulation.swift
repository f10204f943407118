import Paging

/// Runs a trace through the pager that the plugin serves with, in one thread, against images that have no bytes.
struct Simulation {
    /// Bytes; what they bound says `countsTables`.
    let memory: Int
    let pageSizes: PageSizes
    /// Whether `memory` bounds pages and tables together, as the plugin's `memory=` does, or pages alone, as other
    /// simulators have it.
    var countsTables = false
    /// Whether writes are written, or count as reads.
    var writes = false

    /// Runs all of `trace`, from an empty memory on.
    func run(_ trace: Trace) throws -> Figures {
        let pages = try makePages()
        let registry = ProviderRegistry(pages: pages)
        let images = trace.imageSizes.map(SimulatedImage.init)
        let pagers = try images.enumerated().map { number, image in
            Pager(try registry.open(ImageIdentity(device: 0, inode: UInt64(number))) { image })
        }
        let writer = SimulatedWriter(pages: pages, pagers: pagers)
        for request in trace.requests {
            if writes, request.operation == .write {
                try writer.write(request.range, to: pagers[request.image])
            } else {
                try pagers[request.image].populate(request.range)
            }
        }
        try writer.flush()
        let counters = pages.counters
        return Figures(
            trace: trace.name, memory: memory, frames: pages.frames, pageSizes: pageSizes,
            requests: trace.requests.count, pagesRead: Int(counters.hits + counters.misses),
            misses: Int(counters.misses), traffic: images.map(\.traffic).reduce(Traffic(), +))
    }

    private func makePages() throws -> Pages {
        try Pages(
            memory: countsTables ? memory : Pages.memory(forFrames: memory / BasePage.size),
            mostPagesOfFill: pageSizes == .fixed ? 1 : Pages.widestFill)
    }
}
