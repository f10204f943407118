import CLinux
import CStateFormat
import Glibc
import Paging
import SystemPackage

/// The file in which a server leaves its memory to the next one (`state=`).
///
/// It lies in memory itself: on a tmpfs or on hugetlbfs. It belongs to the user who runs the server, nobody else can
/// reach it, and one process at a time has it locked (flock). All of its bytes are allocated when it is made or taken
/// over, because a hole in a full filesystem would be a SIGBUS when it is touched.
///
///     opened, locked ── look ──▶ nothing in it ── make ──▶ empty state
///                        │                                     ▲
///                        ├──────▶ another server's state ──────┘ make, if it has another layout and owes nothing
///                        └──────▶ damaged: an error
///
/// **A crash while it is made.** Its first word says that it is a state file before the rest is there, and `is_ready`
/// is 0 until all of it is. So the next server takes it for what it is: nothing.
///
/// Thread rules: one thread, until the server serves. The lock and the mapping last as long as this does.
public final class StateFile: @unchecked Sendable {
    /// What a server finds.
    public enum Found {
        /// Nothing: a new state has been made.
        case new(KeptState)
        /// What another server has left, with the layout that is wanted.
        case same(KeptState)
        /// What another server has left, with another layout. What it owes must be brought to the images
        /// (`StateWriteOut`) before `make`.
        case other(KeptState)
    }

    /// The version of the format that this build reads and writes.
    public static let format = Int(FLEXPAGE_STATE_VERSION)

    public let path: FilePath
    /// Bytes of the pages that the file's memory comes in.
    public let unit: Int
    private let descriptor: OwnedDescriptor
    private let isNew: Bool
    // Internal only because StateFile+Blocks is a file of its own.
    private(set) var mapping: UnsafeMutableRawBufferPointer?
    /// When the server before may still have been there, while its lock was waited for; 0 if it was not.
    private let lastSign: UInt64

    /// Opens the file, and locks it. May wait for a server that was killed in a call of the kernel.
    /// - Parameter create: Make it if there is none.
    /// - Parameter log: Hears of that, once a second.
    public init(_ path: FilePath, create: Bool = true, log: (String) -> Void = { _ in }) throws(StateError) {
        self.path = path
        do throws(StateError.Problem) {
            let opened = try OpenedState(path, create: create, log: log)
            (unit, isNew, lastSign) = (opened.unit, opened.isNew, opened.lastSign)
            descriptor = opened.descriptor
        } catch {
            throw StateError(path, error)
        }
    }

    deinit { unmap() }

    /// The number of its descriptor. A process that forks, and lives on without serving, must close its copy: the lock
    /// lasts as long as any copy is open.
    public var number: Int32 { descriptor.number }

    /// The layout of a Memory of `bytes` bytes in this file. Nil if that is too little.
    public func layout(memory bytes: Int) -> KeptLayout? { KeptLayout(memory: bytes, unit: unit) }

    // MARK: What is in it

    /// Takes what is in the file, or makes a new state if there is nothing.
    public func take(_ layout: KeptLayout) throws(StateError) -> Found {
        guard let state = try look() else { return .new(try make(layout)) }
        return state.frames == layout.frames && mapping?.count == layout.bytes ? .same(state) : .other(state)
    }

    /// Maps what is in the file, and checks it. Nil if there is nothing: it is new, or was never completed.
    ///
    /// Holes are allocated, unless the program only reads the words and what they stand for, and writes no more than
    /// that. A limit of the memory leaves holes where nothing is, and others use that memory. A hugetlbfs maps no
    /// holes.
    /// - Parameter canHaveHoles: Whether it does no more.
    public func look(canHaveHoles: Bool = false) throws(StateError) -> KeptState? {
        do throws(StateError.Problem) {
            guard let bytes = try recognisedBytes() else { return nil }
            return try StateFile.checked(try map(bytes, canHaveHoles: canHaveHoles))
        } catch {
            unmap()
            if error == .damaged(.incomplete) { return nil }
            throw StateError(path, error)
        }
    }

    private static func checked(_ mapping: UnsafeMutableRawBufferPointer) throws(StateError.Problem) -> KeptState {
        do throws(KeptDamage) {
            return try KeptState(checking: mapping)
        } catch {
            throw .damaged(error)
        }
    }

    /// Bytes in the file, or nil if there is nothing in it. Looks before anything is mapped or allocated, because the
    /// file may be somebody's disk image.
    private func recognisedBytes() throws(StateError.Problem) -> Int? {
        let size = try status().size
        var header = flexpage_state_header()
        let count = pread(number, &header, MemoryLayout<flexpage_state_header>.size, 0)
        if size == 0 || header.magic == 0 && size <= unit && isAllZero(Int(size)) { return nil }
        guard count == MemoryLayout<flexpage_state_header>.size, header.magic == FLEXPAGE_STATE_MAGIC,
            size % Int64(BasePage.size) == 0
        else { throw .damaged(.noState) }
        return header.version == UInt32(FLEXPAGE_STATE_VERSION) && header.is_ready == 0 ? nil : Int(size)
    }

    private func isAllZero(_ count: Int) -> Bool {
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, read in
            read = max(0, pread(number, buffer.baseAddress, count, 0))
        }
        return bytes.count == count && bytes.allSatisfy { $0 == 0 }
    }

    // MARK: Taking charge

    /// Takes charge of what is in the file: waits until the kernel has finished the I/O of the server before, and then
    /// says in the header which server has it now. Nothing in the frames is touched before that.
    ///
    /// The server before was alive as long as its I/O went on: what that changed in an image is not foreign. So `alive`
    /// is moved to the last moment at which its marks may have been there, here or while its lock was waited for.
    /// - Parameter log: Hears once a second what is being waited for.
    /// - Returns: The mark for everything that moves bytes of the frames from now on.
    public func takeCharge(of state: KeptState, log: (String) -> Void) throws(StateError) -> ServerMark {
        let before = ServerMark(server: state.header.pointee.server)
        state.header.pointee.alive = max(state.header.pointee.alive, lastSign)
        do throws(Errno) {
            try ServerMark.check(on: number)
            var rest = MarkRest(before)
            while let files = try rest.files() {
                if let seconds = rest.secondsIfNew { log(StateFile.wait(for: files, in: state, seconds: seconds)) }
                usleep(10_000)
                state.header.pointee.alive = max(state.header.pointee.alive, KeptState.now)
            }
        } catch {
            throw StateError(path, .unseenLocks(error))
        }
        let mark = ServerMark.random(after: before.server)
        state.header.pointee.server = mark.server
        flexpage_keep_order()
        return mark
    }

    /// Takes charge of a state that has just been made.
    public func takeCharge(ofNew state: KeptState) throws(StateError) -> ServerMark {
        try takeCharge(of: state) { _ in }
    }

    private static func wait(for inodes: Set<UInt64>, in state: KeptState, seconds: Int) -> String {
        let images = state.imagesInUse.map(\.image).filter { inodes.contains($0.record.pointee.inode) }
        return MarkRest.line(for: images.map { $0.path.withoutControls }, seconds: seconds)
    }

    // MARK: Making it

    /// Makes an empty state. What was in the file is gone then, and so is what was mapped.
    /// - Throws: An error that says how much memory is missing, for example. If the file was made for this, it is
    ///   removed.
    public func make(_ layout: KeptLayout) throws(StateError) -> KeptState {
        var isIncomplete = false
        do throws(StateError.Problem) {
            try markIncomplete()
            isIncomplete = true
            try checked("truncating it") { linux_truncate(number, Int64(unit)) }
            return KeptState(making: layout, at: try map(layout.bytes).baseAddress!)
        } catch {
            unmap()
            discardIfNew()
            if !isNew, isIncomplete { _ = linux_truncate(number, Int64(unit)) }
            throw StateError(path, error)
        }
    }

    /// Makes the first unit say that the file is a state file, and that there is nothing in it.
    private func markIncomplete() throws(StateError.Problem) {
        unmap()
        let first = try map(max(unit, BasePage.size))
        let header = first.baseAddress!.assumingMemoryBound(to: flexpage_state_header.self)
        header.pointee.is_ready = 0
        flexpage_keep_order()
        header.pointee.version = UInt32(FLEXPAGE_STATE_VERSION)
        flexpage_keep_order()
        header.pointee.magic = FLEXPAGE_STATE_MAGIC
        flexpage_keep_order()
        let start = MemoryLayout<flexpage_state_header>.offset(of: \flexpage_state_header.header_bytes)!
        memset(first.baseAddress! + start, 0, first.count - start)
        unmap()
    }

    /// Removes the file if this process has made it: nothing has been served from it yet.
    public func discardIfNew() {
        if isNew { try? discard() }
    }

    /// Removes the file. It stays mapped.
    public func discard() throws(StateError) {
        guard unlink(path.string) == 0 else { throw StateError(path, .failed("removing it", Errno(rawValue: errno))) }
    }

    // MARK: Memory

    /// Maps the first `bytes` bytes, and allocates those that the file does not have yet.
    /// - Parameter canHaveHoles: Whether holes may stay in a file of that length.
    private func map(
        _ bytes: Int, canHaveHoles: Bool = false
    ) throws(StateError.Problem) -> UnsafeMutableRawBufferPointer {
        unmap()
        let isLonger = try status().size < bytes
        // hugetlbfs maps nothing for which it has no huge page. A tmpfs has any huge pages for the mapping alone.
        if unit >= StateFile.hugePage {
            try reserve(bytes)
        } else if isLonger {
            try checked("making it longer") { linux_truncate(number, Int64(bytes)) }
        }
        guard let base = mapShared(bytes) else { throw .failed("mapping it", .noMemory) }
        let mapped = UnsafeMutableRawBufferPointer(start: base, count: bytes)
        mapping = mapped
        // Fewer TLB misses on a random hit. If the kernel refuses, nothing is lost.
        if madvise(base, bytes, MADV_HUGEPAGE) == 0, isLonger { populateWithHugePages(mapped) }
        if isLonger || !canHaveHoles { try reserve(bytes) }
        return mapped
    }

    /// Maps it by way of a description of its own. A mapping refers to the description that it was made with, and the
    /// lock lasts as long as anything refers to that: nbdkit's parent inherits the mapping, and may live on with
    /// --run's command. Without /proc, or if the file's permissions forbid it by now, the locked one is mapped.
    private func mapShared(_ bytes: Int) -> UnsafeMutableRawPointer? {
        let other = linux_reopen(number, true, false, false)
        defer { if other >= 0 { close(other) } }
        return linux_map_shared(other >= 0 ? other : number, bytes, StateFile.hugePage)
    }

    /// Bytes to which the mapping is aligned, so that the kernel can map huge pages of a tmpfs as such.
    static let hugePage = 1 << 21

    /// MADV_POPULATE_WRITE, since Linux 5.14. It returns an error if there is not enough memory, where a store would be
    /// a SIGBUS.
    static let populateWrite: Int32 = 23

    /// MADV_COLLAPSE, since Linux 6.1: makes a huge page of what lies in its place, whatever the mount options say.
    static let collapse: Int32 = 25

    /// Allocates the memory by way of the mapping, in huge pages if there are any. Best effort: what is still a hole
    /// afterwards is allocated without them.
    ///
    /// A tmpfs that is mounted with huge=advise gives huge pages to a mapping, and none to fallocate, which does not
    /// know of the advice. A page of the second huge page shows whether it does. The first one has a small page, the
    /// one that says that the file is incomplete.
    private func populateWithHugePages(_ mapped: UnsafeMutableRawBufferPointer) {
        guard unit < StateFile.hugePage, mapped.count >= 2 * StateFile.hugePage, let base = mapped.baseAddress,
            let before = try? status().allocated,
            madvise(base + StateFile.hugePage, BasePage.size, StateFile.populateWrite) == 0,
            let after = try? status().allocated
        else { return }
        if after - before >= Int64(StateFile.hugePage) {
            _ = madvise(base, mapped.count, StateFile.populateWrite)
        } else {
            collapse(mapped)
        }
    }

    /// Makes huge pages on a tmpfs that gives none by itself, as /dev/shm is mounted. The kernel collapses only what
    /// has a page. One small page in each is the cheapest: the rest is cleared and not copied. There is one call for
    /// all, because each call waits for every processor. It ends at the first huge page that cannot be had.
    private func collapse(_ mapped: UnsafeMutableRawBufferPointer) {
        for offset in stride(from: 0, to: mapped.count, by: StateFile.hugePage) {
            guard madvise(mapped.baseAddress! + offset, BasePage.size, StateFile.populateWrite) == 0 else { return }
        }
        _ = madvise(mapped.baseAddress!, mapped.count, StateFile.collapse)
    }

    private func unmap() {
        if let mapping { munmap(mapping.baseAddress!, mapping.count) }
        mapping = nil
    }

    /// Allocates whatever is a hole in the first `bytes` bytes.
    private func reserve(_ bytes: Int) throws(StateError.Problem) {
        let before = try status()
        // Huge pages can reach beyond the end. Then only the call tells.
        if before.size >= bytes, before.allocated == before.size { return }
        do throws(StateError.Problem) {
            try checked("allocating its memory") { linux_reserve(number, Int64(bytes)) }
        } catch {
            var filesystem = linux_filesystem()
            guard error == .failed("allocating its memory", .noSpace), linux_filesystem(number, &filesystem) == 0 else {
                throw error
            }
            throw .noRoom(needed: bytes, available: filesystem.available + (try status().allocated))
        }
    }

    private func status() throws(StateError.Problem) -> linux_file {
        var file = linux_file()
        try checked("fstat") { linux_fstat(number, &file) }
        return file
    }

    /// Calls until no signal interrupts.
    private func checked(_ name: String, _ call: () -> Int32) throws(StateError.Problem) {
        while true {
            let answer = call()
            if answer >= 0 { return }
            if answer != -EINTR { throw .failed(name, Errno(rawValue: -answer)) }
        }
    }
}
