import Glibc
import Testing

@testable import Paging

/// Pages, a registry and one open image: the beginning of most tests.
struct PagingRig<Image: Accessor> {
    let pages: Pages
    let registry: ProviderRegistry
    let provider: Provider
    let image: Image
    let pager: Pager

    init(
        memory: Int = Pages.minMemory, readahead: Int = 0, image: Image,
        notify: @escaping @Sendable (Notice) -> Void = { _ in }
    ) throws {
        pages = try Pages(memory: memory, readahead: readahead) { notice, _ in notify(notice) }
        registry = ProviderRegistry(pages: pages)
        self.image = image
        provider = try registry.open(ImageIdentity(device: 1, inode: 1)) { image }
        pager = Pager(provider)
    }

    var frames: Int { pages.memory.metadata.frames }

    /// Closes the image. Then everything must be free.
    func end() throws {
        pages.checkInvariants(isQuiet: true)
        try registry.close(provider)
        pages.checkInvariants(isQuiet: true)
        #expect(pages.memory.freeFrames == frames)
        #expect(pages.leaves.used == 0)
    }

    /// The error of a read, or nil.
    func readError(_ count: Int, at offset: Int64) -> AccessError? {
        let scratch = TestBuffer(max(1, count))
        do throws(AccessError) {
            try pager.read(into: scratch.buffer(count), at: offset)
            return nil
        } catch {
            return error
        }
    }

    /// Writes `count` bytes, all of them `byte`.
    func write(_ byte: UInt8, count: Int, at offset: Int64, forced: Bool = false) throws(AccessError) {
        let scratch = TestBuffer(count)
        let buffer = scratch.buffer(count)
        memset(buffer.baseAddress!, Int32(byte), count)
        try pager.write(from: UnsafeRawBufferPointer(buffer), at: offset, forced: forced)
    }

    /// Recycles everything that can be recycled. Nobody else uses the memory meanwhile.
    func recycleAll() {
        if let region = pages.takeRegion(order: 0, room: frames) { pages.give(region) }
    }

    /// The pins on the flexpage that covers base page `page`.
    func pins(_ page: UInt64) -> UInt32 {
        guard let id = flexpage(at: page) else { return 0 }
        return PageState(pages.table.word(id).pointee.state.load(ordering: .relaxed)).pins
    }

    /// The flexpage that covers base page `page`, or nil. Nobody else uses the image meanwhile.
    func flexpage(at page: UInt64) -> FlexpageID? {
        let id = pages.accessMap(ofImage: provider.image).flexpage(at: page)
        return id == .none ? nil : id
    }
}
