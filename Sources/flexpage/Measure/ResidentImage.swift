import Accessors
import ArgumentParser
import Glibc
import Paging
import SystemPackage

/// An image that is completely resident, in flexpages of 4 KiB.
final class ResidentImage: @unchecked Sendable {
    private let pager: Pager
    private let state: StateFile?

    /// - Parameter path: A state file to make for the memory, which must not exist; nil for anonymous memory. It loses
    ///   its name at once.
    init(bytes: Int, state path: String? = nil) throws {
        let memory = bytes + bytes / 16 + Pages.minMemory
        let kept: KeptState?
        (state, kept) = try path.map { try ResidentImage.newState($0, memory: memory) } ?? (nil, nil)
        let pages = try Pages(memory: memory, kept: kept)
        let provider = try ProviderRegistry(pages: pages).open(ImageIdentity(device: 0, inode: 0)) {
            PatternImage(size: Int64(bytes))
        }
        pager = Pager(provider)
        // One by one, as random reads would do, so that each page is a flexpage of its own.
        for page in 0..<Int64(bytes >> 12) { try pager.populate(page << 12..<(page + 1) << 12) }
    }

    private static func newState(_ path: String, memory: Int) throws -> (StateFile?, KeptState?) {
        guard access(path, F_OK) != 0 else { throw ValidationError("\(path) exists; name a file that does not") }
        let file = try StateFile(FilePath(path))
        defer { try? file.discard() }
        guard let layout = file.layout(memory: memory) else { throw ValidationError("too little memory for \(path)") }
        return (file, try file.make(layout))
    }

    func copy(page: Int, to buffer: UnsafeMutableRawPointer) {
        do throws(AccessError) {
            try pager.read(into: UnsafeMutableRawBufferPointer(start: buffer, count: 4096), at: Int64(page << 12))
        } catch {
            fatalError("cannot read a resident page: \(error)")
        }
    }
}
