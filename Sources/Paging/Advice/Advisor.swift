import Glibc

/// Knows what other amounts of memory would give: runs Miniatures over a sample of all accesses.
///
///     data path ── Sampler.note ──▶ SampleRing ── Pages.digestSamples ──▶ Miniatures ── Pages.advice ──▶ Advice
///
/// All of it lies in 1 % of the memory, which is set aside when the memory is mapped. Nothing grows later. What it does
/// not see: the sizes of flexpages; pages that cannot be recycled because they are dirty or lent; and windows of
/// reading ahead, which would be larger or smaller with another amount of memory. What happened long ago counts less:
/// after `maxSamples` samples, all counts are halved.
///
/// Thread rules: the Sampler on any thread, all else with `monitor`, whose rank is the outermost.
final class Advisor: @unchecked Sendable {
    let layout: AdvisorLayout
    let sampler: Sampler
    let ring: SampleRing
    let monitor = Monitor(.registry)
    let miniatures: [Miniature]
    /// What is reserved for each image, as far as the miniatures know, and how many changes they know of.
    private let wishes: UnsafeMutablePointer<PageQueue.Wish>
    private var wishChanges: UInt64 = 0
    /// Sampled base pages of each image that clients have read.
    private let reads: UnsafeMutablePointer<UInt64>
    /// What had been counted for each image when the counts here began.
    private let baselines: UnsafeMutablePointer<Baseline>
    private let mapping: UnsafeMutableRawPointer
    private var samples: UInt64 = 0

    /// Base pages of an image that were read and missed.
    struct Baseline {
        var reads: UInt64 = 0
        var misses: UInt64 = 0
    }

    /// Samples of reads after which what has been counted is halved.
    static let maxSamples: UInt64 = 1 << 22

    init(_ layout: AdvisorLayout) throws(AccessError) {
        self.layout = layout
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | Int32(MAP_NORESERVE)
        guard let mapping = mmap(nil, layout.bytes, PROT_READ | PROT_WRITE, flags, -1, 0), mapping != MAP_FAILED else {
            throw AccessError(errno)
        }
        self.mapping = mapping
        var carver = Carver(at: mapping)
        ring = SampleRing(capacity: layout.ringCapacity, &carver)
        ring.prepare()
        wishes = carver.carve(PageQueue.Wish.self, layout.images)
        wishes.initialize(repeating: PageQueue.Wish(), count: layout.images)
        reads = carver.carve(UInt64.self, layout.images)
        baselines = carver.carve(Baseline.self, layout.images)
        miniatures = MiniatureSize.all.map { size in
            Miniature(
                size, frames: size.scaled(layout.frames), groupShift: layout.groupShift, images: layout.images, &carver)
        }
        precondition(carver.bytes <= layout.bytes, "the tables fit into what is set aside")
        sampler = Sampler(groupShift: layout.groupShift, ring)
    }

    deinit {
        monitor.destroy()
        munmap(mapping, layout.bytes)
    }

    /// Simulates the oldest samples, at most `maxCount`.
    /// - Returns: How many there were.
    func digest(maxCount: Int) -> Int {
        monitor.assertHeld()
        var count = 0
        while count < maxCount, let sample = ring.pop() {
            count += 1
            simulate(sample)
        }
        return count
    }

    private func simulate(_ sample: Sample) {
        let (kind, key) = (sample.kind, sample.key)
        if kind.isRead {
            reads[Int(key.image)] += 1
            samples += 1
        }
        let present = miniatures[MiniatureSize.present].simulate(kind, key, present: nil)
        for index in miniatures.indices where index != MiniatureSize.present {
            _ = miniatures[index].simulate(kind, key, present: present)
        }
    }

    /// Follows what has changed of the images' shares in `queue`. O(images) if anything has, and for a new image
    /// O(frames).
    func follow(_ queue: PageQueue) {
        monitor.assertHeld()
        guard queue.updateWishes(wishes, since: &wishChanges) else { return }
        for image in 0..<layout.images where wishes[image].hasChanged {
            if wishes[image].isNewImage {
                reads[image] = 0
                baselines[image] = Baseline()
            }
            for miniature in miniatures {
                miniature.follow(wishes[image], ofImage: UInt16(image), framesInAll: layout.frames)
            }
        }
    }

    // MARK: Counts

    /// Whether so much has been counted that it should be halved.
    var isLong: Bool { samples >= Advisor.maxSamples }

    /// Halves what has been counted.
    /// - Parameter now: What has been counted for an image since it was opened.
    func halve(_ now: (UInt16) -> Baseline) {
        monitor.assertHeld()
        samples /= 2
        for image in 0..<layout.images where reads[image] > 0 {
            reads[image] /= 2
            let (present, before) = (now(UInt16(image)), baselines[image])
            // The number may be that of an image that has just been opened, and counts from 0.
            baselines[image].reads += (present.reads - min(before.reads, present.reads)) / 2
            baselines[image].misses += (present.misses - min(before.misses, present.misses)) / 2
            for miniature in miniatures { miniature.counts[image].halve() }
        }
    }

    /// The advice for some images together.
    /// - Parameter memory: The present memory, bytes.
    /// - Parameter isLimited: Not all of it is in use (MemoryLimit), so what it misses says nothing of its miniature.
    func advice(
        ofImages images: Range<UInt16>, memory: Int, isLimited: Bool, _ now: (UInt16) -> Baseline
    ) -> Advice {
        monitor.assertHeld()
        var estimate = AdviceEstimate(
            counts: miniatures.map { _ in MiniatureCounts() }, weight: 1 << Int(layout.groupShift), reads: 0, misses: 0,
            isLimited: isLimited)
        var advice = Advice()
        for image in images where reads[Int(image)] > 0 {
            let (present, before) = (now(image), baselines[Int(image)])
            estimate.reads += present.reads - min(before.reads, present.reads)
            estimate.misses += present.misses - min(before.misses, present.misses)
            advice.samples += reads[Int(image)]
            for index in miniatures.indices {
                estimate.counts[index].add(miniatures[index].counts[Int(image)])
            }
        }
        advice.reads = estimate.reads
        advice.misses = estimate.misses
        advice.points = zip(MiniatureSize.all, estimate.estimates).map { size, misses in
            Advice.Point(memory: size.scaled(memory), misses: misses)
        }
        return advice
    }
}
