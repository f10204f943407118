import Glibc

@testable import Paging

/// Several images in one memory that can be limited, with blocks of 64 KiB.
final class LimitRig: Sendable {
    static let blockBytes = 64 << 10
    static let block = 16
    let backing = GuardedBacking(blockBytes: LimitRig.blockBytes)
    let pages: Pages
    let registry: ProviderRegistry
    let limit: MemoryLimit
    let images: [HookedImage]
    let providers: [Provider]

    init(
        frames: Int = 2048, images count: Int = 1, isShared: Bool = false, dirtyShare: Double = 0.4,
        readahead: Int = 0, hook: @escaping @Sendable (Int, HookedImage.Call) -> AccessError? = { _, _ in nil }
    ) throws {
        let pages = try Pages(
            memory: Pages.memory(forFrames: frames), dirtyShare: dirtyShare, readahead: readahead,
            isShared: isShared, backing: backing)
        self.pages = pages
        let registry = ProviderRegistry(pages: pages)
        self.registry = registry
        limit = MemoryLimit(pages: pages, registry: registry)
        let images = (0..<count).map { index in
            HookedImage(size: 32 << 20, pattern: Pattern(key: UInt64(index))) { call, _ in hook(index, call) }
        }
        self.images = images
        providers = try images.enumerated().map { index, image in
            try registry.open(ImageIdentity(device: 1, inode: UInt64(index))) { image }
        }
    }

    /// The bound with `blocks` blocks less.
    func bytes(less blocks: Int) -> Int { pages.memory.bytes - blocks * LimitRig.blockBytes }

    func set(less blocks: Int) throws { try limit.set(bytes(less: blocks)) }

    /// Waits until the memory has `blocks` blocks less.
    func wait(less blocks: Int) {
        Thread.wait { limit.progress.isReached && limit.progress.held == bytes(less: blocks) }
    }

    /// Reads base pages one by one.
    func read(_ pages: Range<UInt64>, ofImage index: Int = 0) throws {
        let pager = Pager(providers[index])
        for page in pages { try pager.populate(BasePage.offset(of: page)..<BasePage.offset(of: page + 1)) }
    }

    func write(_ byte: UInt8, page: UInt64, ofImage index: Int = 0) throws(AccessError) {
        let scratch = TestBuffer(4096)
        let buffer = scratch.buffer(4096)
        memset(buffer.baseAddress!, Int32(byte), 4096)
        try Pager(providers[index]).write(
            from: UnsafeRawBufferPointer(buffer), at: BasePage.offset(of: page), forced: false)
    }

    /// The first byte of a base page, as a client reads it.
    func byte(ofPage page: UInt64, ofImage index: Int = 0) throws -> UInt8 {
        let scratch = TestBuffer(4096)
        let buffer = scratch.buffer(4096)
        try Pager(providers[index]).read(into: buffer, at: BasePage.offset(of: page))
        return buffer[0]
    }

    /// Takes all memory back and closes the images. Then everything is free.
    func end() throws {
        try set(less: 0)
        wait(less: 0)
        limit.stop()
        for provider in providers { try registry.close(provider) }
        pages.checkInvariants(isQuiet: true)
        precondition(pages.memory.freeFrames == pages.frames, "closed images leave frames behind")
    }
}
