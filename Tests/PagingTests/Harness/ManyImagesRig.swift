@testable import Paging

/// Pages, a registry and several open images, which count what is read of them.
struct ManyImagesRig {
    let pages: Pages
    let registry: ProviderRegistry
    let images: [CountedImage]
    let providers: [Provider]
    let pagers: [Pager]

    /// - Parameter maxPagesOfFill: With 1, each flexpage is a base page.
    init(
        _ count: Int, frames: Int, size: Int64 = 1 << 40, dirtyShare: Double = Pages.defaultDirtyShare,
        maxPagesOfFill: Int = 1
    ) throws {
        let pages = try Pages(
            memory: Pages.memory(forFrames: frames), dirtyShare: dirtyShare, readahead: 0,
            maxPagesOfFill: maxPagesOfFill)
        let registry = ProviderRegistry(pages: pages)
        self.pages = pages
        self.registry = registry
        images = (0..<count).map { _ in CountedImage(size: size) }
        providers = try images.enumerated().map { number, image in
            try registry.open(ImageIdentity(device: 1, inode: UInt64(number))) { image }
        }
        pagers = providers.map { Pager($0) }
    }

    /// Reads a base page.
    /// - Returns: True if it was in memory.
    @discardableResult
    func use(_ page: UInt64, ofImage image: Int) throws -> Bool {
        let before = images[image].pagesRead.load(ordering: .relaxed)
        try pagers[image].populate(BasePage.offset(of: page)..<BasePage.offset(of: page + 1))
        return images[image].pagesRead.load(ordering: .relaxed) == before
    }

    /// Uses each of the base pages once, in order.
    func use(_ pages: Range<UInt64>, ofImage image: Int) throws {
        for page in pages { try use(page, ofImage: image) }
    }

    /// The frames that each image holds.
    var held: [Int] { providers.map(\.heldPages) }

    /// Closes the images. Then everything must be free.
    func end() throws {
        pages.checkInvariants(isQuiet: true)
        for provider in providers { try registry.close(provider) }
        pages.checkInvariants(isQuiet: true)
        precondition(pages.memory.freeFrames == pages.frames, "closed images leave frames behind")
    }
}
