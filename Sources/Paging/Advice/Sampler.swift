/// Decides which base pages are sampled, and reports accesses to them.
///
/// Pages of a chunk come in groups of a power of two, at least 32 neighbours, and one page of each is sampled. The hash
/// of the chunk, which a request computes anyhow, says which one. This is spatial sampling as in SHARDS (Waldspurger et
/// al., FAST '15): all accesses to a page are sampled, or none. To take one page of each group, and not a random subset
/// of all pages, makes the error smaller: a region that is much used has its part of the samples.
///
/// A hit that is not sampled pays for it with six instructions: a shift, a subtraction, a mask, a comparison and a
/// branch. Without an Advisor the mask has all bits, so hardly any page passes, and then there is no ring. Counted by
/// callgrind, as in `Scripts/bench cost`, a hit of 928 instructions has 932 without an Advisor and 934 with one. The
/// thread that simulates the samples adds 26 instructions a hit, beside the data path.
struct Sampler: Sendable {
    /// The pages in a group less one; all bits if nothing is sampled.
    let mask: UInt64
    private let shift: UInt64
    private let ring: SampleRing?

    static let off = Sampler()

    private init() {
        mask = .max
        shift = 0
        ring = nil
    }

    init(groupShift: UInt64, _ ring: SampleRing) {
        mask = 1 << groupShift - 1
        shift = groupShift
        self.ring = ring
    }

    /// Reports an access to `page`, which is sampled.
    func report(_ kind: Sample.Kind, _ page: UInt64, image: UInt16) {
        ring?.push(Sample(kind, image: image, group: page &>> shift))
    }

    /// Calls `body` with each sampled page of `pages`, which lie in the chunk with this hash.
    func forEachSampled(of pages: Range<UInt64>, _ hash: UInt64, _ body: (UInt64) -> Void) {
        guard ring != nil else { return }
        var page = pages.lowerBound &+ Sampler.distance(from: pages.lowerBound, hash, mask: mask)
        while page < pages.upperBound {
            body(page)
            page &+= mask &+ 1
        }
    }

    /// Base pages from `page`, in a chunk with this hash, to the next sampled one.
    @inline(__always)
    static func distance(from page: UInt64, _ hash: UInt64, mask: UInt64) -> UInt64 { (hash &>> 32 &- page) & mask }
}

extension PageMapper.Context {
    /// Reports accesses to those of `pages`, base pages of one chunk, that are sampled.
    @inline(__always)
    func note(_ kind: Sample.Kind, _ pages: Range<UInt64>, in chunk: HashedChunk) {
        assert(pages.isInOneChunk, "the hash is that of the pages' chunk")
        let distance = Sampler.distance(from: pages.lowerBound, chunk.hash, mask: sampleMask)
        if distance < pages.upperBound &- pages.lowerBound { report(kind, pages, chunk.hash) }
    }

    @inline(never)
    private func report(_ kind: Sample.Kind, _ pages: Range<UInt64>, _ hash: UInt64) {
        let sampler = sampler
        sampler.forEachSampled(of: pages, hash) { page in sampler.report(kind, page, image: map.image) }
    }
}
