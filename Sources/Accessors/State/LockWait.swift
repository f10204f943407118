import CLinux
import CStateFormat
import Glibc
import Paging
import SystemPackage

/// Waits for the lock of a state file that another process has.
///
/// | the process that has it                                 | what happens                                          |
/// |---------------------------------------------------------|-------------------------------------------------------|
/// | a process that lets go within two seconds               | it is waited for                                      |
/// | a server that was killed, in a call that has not ended  | it is waited for, and a line a second says so         |
/// | any other process                                       | an error that names it                                |
///
/// A process that was killed in a system call keeps its files until the call has ended. That is a server's process if
/// its marks are seen (`ServerMark`). It has not been killed if the header's `alive` moves, or if a process that can be
/// seen has the file and is not about to end. It gives up its files one after the other: once its marks are gone, it
/// has two seconds for the lock.
///
/// What the kernel does for a dead server is the server's doing: `lastSign` is when that may have ended.
struct LockWait {
    private typealias Problem = StateError.Problem

    /// The last moment at which the marks of the file's server may have been there, in nanoseconds of CLOCK_REALTIME; 0
    /// if they were never seen.
    private(set) var lastSign: UInt64 = 0
    private let descriptor: Int32
    private let begin = MonotonicTime.now
    /// How long a process without marks is waited for.
    private var deadline = MonotonicTime.now + LockWait.patience
    private let table: LockTable
    private var told = 0

    /// How long the lock is waited for, whoever has it, milliseconds.
    static let patience = 2000
    /// Between two attempts, microseconds.
    static let pause: UInt32 = 20_000

    init(_ descriptor: Int32, _ table: LockTable = LockTable()) {
        self.descriptor = descriptor
        self.table = table
    }

    /// Takes the lock.
    /// - Parameter log: Hears once a second what is being waited for, after the first two seconds.
    mutating func lock(_ log: (String) -> Void) throws(StateError.Problem) {
        let alive = header?.alive
        while true {
            let answer = linux_flock(descriptor)
            if answer == 0 { return }
            guard answer == -EWOULDBLOCK else { throw .failed("flock", Errno(rawValue: -answer)) }
            let marked = markedFiles
            if marked.isEmpty {
                guard MonotonicTime.now < deadline else { throw .held(by: holder) }
            } else if let seconds = secondsIfNew {
                let holder = self.holder
                guard header?.alive == alive, holder == nil else { throw .held(by: holder) }
                log(MarkRest.line(for: paths(of: marked), seconds: seconds))
            }
            usleep(LockWait.pause)
            if !marked.isEmpty { noteSign() }
        }
    }

    /// The marks were there just now, and may have gone since.
    private mutating func noteSign() {
        lastSign = KeptState.now
        deadline = MonotonicTime.now + LockWait.patience
    }

    /// Whole seconds since the waiting began, once for each second after the first.
    private var secondsIfNew: Int? {
        mutating get {
            let seconds = (MonotonicTime.now - begin) / 1000
            guard seconds * 1000 >= LockWait.patience, seconds > told else { return nil }
            told = seconds
            return seconds
        }
    }

    private var holder: Int32? {
        var file = linux_file()
        guard linux_fstat(descriptor, &file) == 0 else { return nil }
        return FileHolders.first(device: file.device, inode: file.inode)
    }

    // MARK: The file, which may be anything, and is being changed

    private var header: flexpage_state_header? {
        var header = flexpage_state_header()
        let size = MemoryLayout<flexpage_state_header>.size
        guard pread(descriptor, &header, size, 0) == size, header.magic == FLEXPAGE_STATE_MAGIC,
            header.version == UInt32(FLEXPAGE_STATE_VERSION), header.is_ready == 1
        else { return nil }
        return header
    }

    /// The inodes of files that have the mark of the file's server.
    private var markedFiles: Set<UInt64> {
        guard let header, header.server != 0,
            let locks = try? table.locks(startingAt: ServerMark(server: header.server).byte)
        else { return [] }
        return Set(locks.map(\.inode))
    }

    /// The paths of images with these inodes.
    private func paths(of inodes: Set<UInt64>) -> [String] {
        guard let header, header.image_bytes == MemoryLayout<flexpage_state_image>.size else { return [] }
        let size = Int(header.image_bytes)
        return (0..<min(Int(header.images), Int(FLEXPAGE_STATE_MAX_IMAGES))).compactMap { number in
            var record = flexpage_state_image()
            let offset = Int(clamping: header.images_offset) &+ number * size
            guard pread(descriptor, &record, size, offset) == size, record.in_use == 1, inodes.contains(record.inode),
                Int(record.path_bytes) <= KeptImage.maxPath
            else { return nil }
            return withUnsafeBytes(of: record.path) {
                String(decoding: $0.prefix(Int(record.path_bytes)), as: UTF8.self).withoutControls
            }
        }
    }
}
