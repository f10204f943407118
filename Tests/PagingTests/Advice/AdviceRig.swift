import TestSupport

@testable import Paging

/// Images in a memory that knows what other amounts of it would give.
struct AdviceRig {
    let pages: Pages
    let registry: ProviderRegistry
    let providers: [Provider]
    let pagers: [Pager]
    /// The default of what is set aside.
    static func bytes(frames: Int) -> Int { Pages.adviceBytes(memory: frames * 4200) }

    /// - Parameter advice: Bytes that are set aside beside the frames.
    init(frames: Int, images: Int = 1, advice: Int? = nil) throws {
        let advice = advice ?? AdviceRig.bytes(frames: frames)
        let pages = try Pages(
            memory: Pages.memory(forFrames: frames) + advice, readahead: 0, maxPagesOfFill: 1, advice: advice)
        let registry = ProviderRegistry(pages: pages)
        self.pages = pages
        self.registry = registry
        providers = try (0..<images).map { number in
            try registry.open(ImageIdentity(device: 1, inode: UInt64(number))) { NullImage(size: 1 << 40) }
        }
        pagers = providers.map { Pager($0) }
    }

    /// Reads a base page, and now and then has the samples simulated, as the server's thread does.
    func read(_ page: UInt64, ofImage image: Int = 0) throws {
        try pagers[image].populate(BasePage.offset(of: page)..<BasePage.offset(of: page + 1))
        if page % 64 == 0 { pages.digestSamples() }
    }

    /// The miss ratio so far.
    var missRatio: Double {
        let counters = pages.counters
        return Double(counters.misses) / Double(counters.hits + counters.misses)
    }

    /// A page of `count`, the first ones much more often than the others (nearly Zipf's law), and none near another one
    /// that is as popular.
    static func popular(_ random: inout SplitMix64, of count: Int) -> UInt64 {
        let uniform = Double(random.next() >> 11) / Double(1 << 53 as UInt64)
        let rank = UInt64(Double(count) * uniform * uniform * uniform)
        return SplitMix64.mix(rank) % UInt64(count * 16)
    }

    func checkInvariants() {
        guard let advisor = pages.advisor else { return }
        advisor.monitor.withLock {
            for miniature in advisor.miniatures { miniature.checkInvariants() }
        }
    }
}
