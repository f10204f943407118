import Paging

/// Runs a trace, or several, through the plugin's pager, in one thread, with images that have no contents, or of whose
/// contents only the sizes matter.
struct Simulation {
    /// Bytes. `countsTables` says what they bound.
    private(set) var memory: Int
    let way: PagingWay
    /// Whether `memory` bounds pages and tables together, like the plugin's `memory=`, or pages alone, as in other
    /// simulators.
    var countsTables = false
    /// Whether writes are simulated as writes, or count as reads.
    var writes = false
    /// Bytes, beside `memory`, for advice about its amount; 0 for none.
    var advice = 0
    /// What is in all images, if that matters.
    private(set) var content: ImageContent?
    /// What has, beside `memory`, what the pager recycles.
    private(set) var tier: CompressedTier?

    init(memory: Int, way: PagingWay, countsTables: Bool = false, writes: Bool = false) {
        self.memory = memory
        self.way = way
        self.countsTables = countsTables
        self.writes = writes
    }

    /// The same with a content, and with `bytes` less for the pager, because a second tier has them.
    func leaving(_ bytes: Int, to tier: CompressedTier?, _ content: ImageContent) -> Simulation {
        var part = self
        part.memory -= bytes
        part.tier = tier
        part.content = content
        return part
    }

    /// Runs the whole trace, beginning with an empty cache.
    func run(_ trace: Trace) throws -> Figures { try run([trace])[0] }

    /// Runs all of the traces in one memory, beginning with an empty cache. Each has images of its own.
    /// - Returns: The figures of each.
    func run(_ traces: [Trace]) throws -> [Figures] { try runAdvised(traces).figures }

    /// Requests between two looks at the samples for advice: few enough, so that none is dropped.
    private static let requestsOfDigest = 8

    /// As `run`.
    /// - Returns: The figures of each, and the advice on the memory, if there is any.
    func runAdvised(_ traces: [Trace]) throws -> (figures: [Figures], advice: Advice?) {
        let pages = try makePages()
        let registry = ProviderRegistry(pages: pages)
        let simulated = try traces.enumerated().map { try SimulatedTrace($1, number: $0, in: registry, self) }
        let prefetcher = try Prefetcher(pages: pages, threads: 0)
        defer { prefetcher.stop() }
        let writer = SimulatedWriter(pages: pages, pagers: simulated.flatMap(\.pagers))
        for (number, next) in Interleaving(traces).enumerated() {
            if advice > 0, number % Simulation.requestsOfDigest == 0 { pages.digestSamples() }
            let trace = simulated[next.trace]
            try serve(next.request, of: trace, writer)
            guard way == .ahead else { continue }
            let image = trace.images[next.request.image]
            let reads = image.traffic.reads
            prefetcher.drain()
            trace.readsAhead += image.traffic.reads - reads
        }
        try writer.flush()
        return (simulated.map { $0.figures(self, frames: pages.frames) }, pages.advice())
    }

    private func serve(_ request: TraceRequest, of trace: SimulatedTrace, _ writer: SimulatedWriter) throws {
        if writes, request.operation == .write {
            tier?.forget(request.range, ofImage: trace.pagers[request.image].provider.image)
            try writer.write(request.range, to: trace.pagers[request.image])
        } else {
            try trace.pagers[request.image].populate(request.range)
        }
    }

    private func makePages() throws -> Pages {
        var recycled: (@Sendable (Range<UInt64>, UInt16, Bool) -> Void)?
        if let tier { recycled = { tier.keep($0, ofImage: $1, areProven: $2) } }
        return try Pages(
            memory: (countsTables ? memory : Pages.memory(forFrames: memory / BasePage.size)) + advice,
            readahead: way == .ahead ? Pages.defaultReadahead : 0,
            maxPagesOfFill: way == .fixed ? 1 : Pages.maxFill, advice: advice,
            recycled: recycled)
    }
}
