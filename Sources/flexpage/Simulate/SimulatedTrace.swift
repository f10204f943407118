import Paging

/// A trace in a simulation: its images, and what its requests have found.
final class SimulatedTrace {
    let trace: Trace
    let images: [SimulatedImage]
    let pagers: [Pager]
    /// Reads of the images that no client waited for.
    var readsAhead = 0

    /// Opens images of the sizes that the trace needs.
    /// - Parameter number: Of the trace: it distinguishes its images from those of others.
    init(_ trace: Trace, number: Int, in registry: ProviderRegistry, _ simulation: Simulation) throws {
        self.trace = trace
        let images = trace.imageSizes.map { SimulatedImage(size: $0, content: simulation.content) }
        self.images = images
        pagers = try images.enumerated().map { index, image in
            let identity = ImageIdentity(device: UInt64(number), inode: UInt64(index))
            let provider = try registry.open(identity) { image }
            if let tier = simulation.tier { image.use(tier, asImage: provider.image) }
            return Pager(provider)
        }
    }

    func figures(_ simulation: Simulation, frames: Int) -> Figures {
        let counters = pagers.map(\.provider.counters)
        let misses = counters.reduce(0) { $0 + Int($1.misses) }
        return Figures(
            trace: trace.name, memory: simulation.memory, frames: frames, way: simulation.way,
            requests: trace.requests.count, pagesRead: counters.reduce(misses) { $0 + Int($1.hits) }, misses: misses,
            readsAhead: readsAhead, traffic: images.map(\.traffic).reduce(Traffic(), +))
    }
}
