import ArgumentParser
import Paging

/// A full memory with several images, which miss in turn.
final class SharedMemory {
    private let pagers: [Pager]
    private var next: Int64 = 0

    /// Fills the memory.
    init(images: Int, bytes: Int) throws {
        let pages = try Pages(memory: bytes, readahead: 0, maxPagesOfFill: 1)
        let registry = ProviderRegistry(pages: pages)
        do {
            pagers = try (0..<images).map { number in
                Pager(
                    try registry.open(ImageIdentity(device: 0, inode: UInt64(number))) { SimulatedImage(size: 1 << 50) }
                )
            }
        } catch let error as AccessError {
            throw ValidationError("\(images) images do not fit into \(bytes >> 20) MiB: error \(error.code)")
        }
        for _ in 0..<pages.frames * 2 { try miss() }
    }

    /// Reads a base page that is not in memory, of the image whose turn it is.
    func miss() throws {
        let image = Int(next) % pagers.count
        let page = next / Int64(pagers.count)
        try pagers[image].populate(page << 12..<(page + 1) << 12)
        next += 1
    }
}
