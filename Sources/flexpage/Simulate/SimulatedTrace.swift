import Paging

/// A trace in a simulation: its images, and what its requests have found.
final class SimulatedTrace {
    let trace: Trace
    let images: [SimulatedImage]
    let pagers: [Pager]
    /// Base pages that its requests read, and those of them that were not resident.
    private(set) var pagesRead = 0
    private(set) var misses = 0
    /// Reads of the images that no client waited for.
    var readsAhead = 0

    /// Opens images of the sizes that the trace needs.
    /// - Parameter number: Of the trace: it distinguishes its images from those of others.
    init(_ trace: Trace, number: Int, in registry: ProviderRegistry) throws {
        self.trace = trace
        let images = trace.imageSizes.map(SimulatedImage.init)
        self.images = images
        pagers = try images.enumerated().map { index, image in
            Pager(try registry.open(ImageIdentity(device: UInt64(number), inode: UInt64(index))) { image })
        }
    }

    /// What the counters have counted between two snapshots was the trace's.
    func count(from before: Counters, to after: Counters) {
        let misses = Int(after.misses - before.misses)
        self.misses += misses
        pagesRead += misses + Int(after.hits - before.hits)
    }

    func figures(_ simulation: Simulation, frames: Int) -> Figures {
        Figures(
            trace: trace.name, memory: simulation.memory, frames: frames, way: simulation.way,
            requests: trace.requests.count, pagesRead: pagesRead, misses: misses, readsAhead: readsAhead,
            traffic: images.map(\.traffic).reduce(Traffic(), +))
    }
}
