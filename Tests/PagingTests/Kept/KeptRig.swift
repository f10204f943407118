import Glibc

@testable import Paging

/// A server that keeps its frames for the next one, in memory of the test. Its death is a copy of that memory.
final class KeptRig {
    /// Memory that outlives a server.
    final class Section {
        private let memory: SharedMemory
        var bytes: UnsafeMutableRawBufferPointer { .init(start: memory.base, count: memory.count) }

        init(count: Int) { memory = SharedMemory(count: count) }

        convenience init(copying other: Section) {
            self.init(count: other.bytes.count)
            bytes.copyMemory(from: UnsafeRawBufferPointer(other.bytes))
        }
    }

    let section: Section
    let kept: KeptState
    let pages: Pages
    let registry: ProviderRegistry
    private(set) var takenOver: [ProviderRegistry.TakenOver] = []
    private(set) var providers: [Provider] = []

    /// A server that begins with nothing.
    init(frames: Int, images: [any Accessor], backing: (any MemoryBacking)? = nil) throws {
        let layout = KeptLayout(frames: frames)
        section = Section(count: layout.bytes)
        kept = KeptState(making: layout, at: section.bytes.baseAddress!)
        pages = try KeptRig.pages(kept, backing)
        registry = ProviderRegistry(pages: pages, keepingUnused: true)
        for (number, image) in images.enumerated() {
            providers.append(
                try registry.open(ImageIdentity(device: 1, inode: UInt64(number))) { image })
        }
    }

    /// The server that follows one that has died, and left `section`.
    /// - Parameter images: The images by the numbers of their records; what is nil is dropped.
    init(after section: Section, images: [(any Accessor)?], backing: (any MemoryBacking)? = nil) throws {
        self.section = section
        kept = try KeptState(checking: section.bytes)
        pages = try KeptRig.pages(kept, backing)
        registry = ProviderRegistry(pages: pages, keepingUnused: true)
        takenOver = registry.takeOver(kept) { number in images[number].map { ($0, false) } }
        providers = takenOver.map(\.provider)
    }

    private static func pages(_ kept: KeptState, _ backing: (any MemoryBacking)?) throws -> Pages {
        let memory = max(Pages.minMemory, Metadata.bytes(forFrames: kept.frames, keptIn: BasePage.size))
        return try Pages(memory: memory, readahead: 0, kept: kept, backing: backing)
    }

    /// What it leaves if it dies now.
    func death() -> Section { Section(copying: section) }

    func close() throws { for provider in providers { try registry.close(provider) } }

    func write(_ byte: UInt8, at range: Range<Int64>, ofImage number: Int = 0) throws {
        let bytes = [UInt8](repeating: byte, count: range.count)
        try bytes.withUnsafeBytes {
            try Pager(providers[number]).write(from: $0, at: range.lowerBound, forced: false)
        }
    }

    func read(_ range: Range<Int64>, ofImage number: Int = 0) throws -> [UInt8] {
        let scratch = TestBuffer(range.count)
        let buffer = scratch.buffer(range.count)
        try Pager(providers[number]).read(into: buffer, at: range.lowerBound)
        return Array(buffer)
    }

    /// Base pages of the first image that are in memory and as the image has them.
    var cleanPages: Int { providers[0].heldPages - providers[0].dirtyPages }

    /// Base pages of an image that a server would find if this one died now: live, and of these owed.
    func count(ofImage number: Int = 0) -> (live: Int, owed: Int) {
        let words = (0..<kept.frames).map { kept[$0] }.filter { $0.isLive && $0.image == number }
        return (words.count, words.count(where: \.isOwed))
    }
}
