@testable import Paging

/// A rig with an image that notes what is written out.
typealias ObservedRig = PagingRig<ObservedImage>

extension PagingRig where Image == ObservedImage {
    init(memory: Int = 16 << 20, notify: @escaping @Sendable (Notice) -> Void = { _ in }) throws {
        try self.init(memory: memory, image: ObservedImage(size: 16 << 20), notify: notify)
    }

    /// Makes each of `pages` dirty with `byte`, in a write of its own, in the given order.
    func dirty(_ pages: some Sequence<UInt64>, _ byte: UInt8 = 1) throws(AccessError) {
        for page in pages { try write(byte, count: 4096, at: Int64(page) << 12) }
    }

    /// The key of leaf `number` of the image.
    func key(ofLeaf number: UInt64) -> UInt64 {
        Leaf.key(of: PageKey(image: provider.image, page: number * UInt64(Leaf.pages)))
    }

    func isDirty(_ page: UInt64) -> Bool { bit(of: page) { $0.pointee.dirty } }
    func isWriting(_ page: UInt64) -> Bool { bit(of: page) { $0.pointee.writing } }
    func isUnsynced(_ page: UInt64) -> Bool { bit(of: page) { $0.pointee.unsynced } }

    private func bit(of page: UInt64, _ bits: (UnsafeMutablePointer<Leaf>) -> UInt8) -> Bool {
        let map = pages.accessMap(ofImage: provider.image)
        let shard = map.shard(of: page)
        shard.lock()
        defer { shard.unlock() }
        guard let leaf = map.leaf(of: page) else { return false }
        return bits(leaf) & 1 << UInt8(page & 7) != 0
    }
}
