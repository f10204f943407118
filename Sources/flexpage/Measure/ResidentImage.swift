import Glibc
import Paging

/// An image that is completely resident, in flexpages of 4 KiB.
final class ResidentImage: @unchecked Sendable {
    private let pager: Pager

    init(bytes: Int) throws {
        let pages = try Pages(memory: bytes + bytes / 16 + Pages.minMemory)
        let provider = try ProviderRegistry(pages: pages).open(ImageIdentity(device: 0, inode: 0)) {
            PatternImage(size: Int64(bytes))
        }
        pager = Pager(provider)
        // One by one, as random reads would do, so that each page is a flexpage of its own.
        for page in 0..<Int64(bytes >> 12) { try pager.populate(page << 12..<(page + 1) << 12) }
    }

    func copy(page: Int, to buffer: UnsafeMutableRawPointer) {
        do throws(AccessError) {
            try pager.read(into: UnsafeMutableRawBufferPointer(start: buffer, count: 4096), at: Int64(page << 12))
        } catch {
            fatalError("cannot read a resident page: \(error)")
        }
    }
}
