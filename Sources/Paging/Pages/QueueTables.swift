import Glibc

/// Where the tables of a PageQueue lie: in the Memory, or in those of a Miniature.
struct QueueTables {
    let frames: Int
    /// How many images there can be.
    let images: Int
    let imageQueues: UnsafeMutablePointer<ImageQueues>
    let holdings: UnsafeMutablePointer<Holding>
    let givers: UnsafeMutablePointer<UInt64>
    let ghosts: UnsafeMutablePointer<GhostEntry>
    let ghostBuckets: Int
    let mutex: UnsafeMutablePointer<pthread_mutex_t>
    /// The frames that probation aims at if a tenth would be less.
    let minProbation: Int

    init(_ metadata: borrowing Metadata) {
        frames = metadata.frames
        images = metadata.images
        imageQueues = metadata.imageQueues
        holdings = metadata.holdings
        givers = metadata.givers
        ghosts = metadata.ghosts
        ghostBuckets = metadata.ghostBuckets
        mutex = metadata.mutex(.queue)
        minProbation = ImageQueues.minProbation
    }

    /// Tables for `frames` frames, each of which stands for `weight`.
    init(frames: Int, images: Int, weight: Int, _ carver: inout Carver) {
        self.frames = frames
        self.images = images
        imageQueues = carver.carve(ImageQueues.self, images)
        holdings = carver.carve(Holding.self, images)
        givers = carver.carve(UInt64.self, images)
        ghostBuckets = Ghosts.buckets(frames: frames)
        ghosts = carver.carve(GhostEntry.self, ghostBuckets * Ghosts.entriesPerBucket)
        mutex = carver.carve(pthread_mutex_t.self, 1)
        minProbation = max(1, ImageQueues.minProbation / weight)
    }
}
