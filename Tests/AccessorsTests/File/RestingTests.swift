import CLinux
import Glibc
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import Accessors

@Suite("Images that rest")
struct RestingTests {
    private let scratch = Scratch()

    /// An image as a server opens it when a client comes.
    private func open(_ path: FilePath, direct: DirectMode = .auto) throws -> ImageFile {
        try ImageFile(at: try ImageDirectory.ofProcess().place(at: path), direct: direct)
    }

    private func takeTurn(_ image: ImageFile, _ byte: UInt8 = 1) throws {
        try image.beginWriting()
        try image.writeOut(PageMemory([UInt8](repeating: byte, count: 4096)), at: 0)
        try image.makeDurable()
        image.endWriting()
    }

    private func descriptors(of path: FilePath) throws -> Int {
        try Files.names("/proc/self/fd").count { Files.target("/proc/self/fd/\($0)") == path.string }
    }

    /// At rest an image has no descriptor. It wakes with those of another opening, which has none then. It serves, and
    /// what a writer left in the cache is good for the next writer.
    @Test(arguments: [DirectMode.auto, .off]) func unchanged(direct: DirectMode) throws {
        let path = scratch.file(pattern(8192))
        let image = try open(path, direct: direct)
        try takeTurn(image)
        for round in 0..<3 {
            let count = image.descriptors.count
            image.rest()
            #expect(image.descriptors.isEmpty)
            #expect(try descriptors(of: path) == 0)
            let other = try open(path, direct: direct)
            #expect(image.wake(with: other))
            #expect(image.descriptors.count == count && other.descriptors.isEmpty)
            var forgets = false
            image.beginReading { forgets = true }
            try image.beginWriting { forgets = true }
            #expect(!forgets)
            let wanted = [UInt8](repeating: UInt8(round + 5), count: 4096)
            try image.writeOut(PageMemory(wanted), at: 4096)
            try image.makeDurable()
            image.endWriting()
            #expect(try Array(image.allBytes()[4096..<8192]) == wanted)
        }
        #expect(image.descriptors.count <= 3)
    }

    /// If a later file cannot be told from the image, nothing cached outlives a rest: the stamp alone is no proof.
    @Test func unknownBirth() throws {
        let path = scratch.file(pattern(8192))
        let descriptor = Glibc.open(path.string, O_RDWR | O_CLOEXEC)
        defer { close(descriptor) }
        for isUnique in [true, false] {
            var watch = ChangeWatch(descriptor: descriptor, isBlockDevice: false, canRest: true, isUnique: isUnique)
            _ = watch.writersCame()
            watch.writersLeave()
            watch.rests()
            #expect(watch.resumes(descriptor) == isUnique)
        }
    }

    /// A file's handle tells it from a later one with its inode number. So does the number that images have if the
    /// filesystem does not tell when a file was made.
    @Test func handles() throws {
        var handles: Set<UInt64> = []
        var inodes: Set<UInt64> = []
        for _ in 0..<20 {
            let path = scratch.file(pattern(4096), named: "again")
            let (one, two) = (Glibc.open(path.string, O_RDONLY), Glibc.open(path.string, O_RDONLY))
            var file = linux_file()
            #expect(linux_fstat(one, &file) == 0)
            #expect(linux_handle(one) == linux_handle(two) && linux_handle(one) != 0)
            #expect(OpenedImage.birth(of: one) == OpenedImage.birth(of: two) && OpenedImage.birth(of: one) != 0)
            handles.insert(linux_handle(one))
            inodes.insert(file.inode)
            close(one)
            close(two)
            unlink(path.string)
        }
        #expect(handles.count == 20)
        if Machine.isRoot { #expect(inodes.count < 20, "inode numbers come again on this filesystem") }
        #expect(linux_handle(-1) == 0)
    }

    /// What a reader has read is good as well, if nobody held the lock: the first reader waits until the stamp proves
    /// something.
    @Test func readers() throws {
        let path = scratch.file(pattern(8192))
        let image = try open(path)
        image.beginReading()
        image.rest()
        #expect(image.wake(with: try open(path)))
        image.rest()
        let writer = try ImageFile(path: path)
        try writer.beginWriting()
        let beside = try open(path)
        beside.beginReading()
        beside.rest()
        #expect(!beside.wake(with: try open(path)), "a write may have been under way when it was read")
        writer.endWriting()
    }

    /// An image of which nothing is known does not wake: nobody has begun to read or write.
    @Test func doubt() throws {
        let path = scratch.file(pattern(8192))
        let image = try open(path)
        image.rest()
        #expect(!image.wake(with: try open(path)))
    }

    /// Whatever changes the file, however little, and whatever else is another file, keeps the image from waking. The
    /// other opening stays whole.
    @Test(arguments: [
        "write", "same times", "hole", "longer", "shorter", "chmod", "link", "made anew", "exchanged", "read-only",
        "page cache",
    ])
    func changed(_ change: String) throws {
        let path = scratch.file(pattern(65536))
        let image = try open(path)
        try takeTurn(image)
        image.rest()
        try self.change(path, change)
        let other =
            change == "read-only"
            ? try ImageFile(at: try ImageDirectory.ofProcess().place(at: path), readOnly: true)
            : try open(path, direct: change == "page cache" ? .off : .auto)
        // Without O_DIRECT here both openings are the same.
        if change == "page cache", !Machine.hasDirect { return }
        let count = other.descriptors.count
        #expect(!image.wake(with: other))
        #expect(image.descriptors.isEmpty && other.descriptors.count == count)
        _ = try other.allBytes()
    }

    private func change(_ path: FilePath, _ change: String) throws {
        let size = Int64(65536)
        switch change {
        case "write", "same times":
            let times = [status(of: path).st_atim, status(of: path).st_mtim]
            try takeTurn(try ImageFile(path: path))
            if change == "same times" { #expect(utimensat(AT_FDCWD, path.string, times, 0) == 0) }
        case "hole":
            let other = try ImageFile(path: path)
            try other.beginWriting()
            try other.zero(0..<4096, mayTrim: true, onlyIfFast: false)
            other.endWriting()
        case "longer": truncate(path.string, off_t(size + 1))
        case "shorter": truncate(path.string, off_t(size - 1))
        case "chmod": chmod(path.string, 0o600)
        case "link": link(path.string, "\(path).hard")
        case "made anew":
            unlink(path.string)
            _ = scratch.file(pattern(65536))
        case "exchanged":
            let new = scratch.file(pattern(65536), named: "new")
            rename(new.string, path.string)
        default: break
        }
    }

    /// A new file that gets the inode number of a deleted one is another image.
    @Test func inodesThatComeAgain() throws {
        var identities: Set<ImageIdentity> = []
        var inodes: Set<UInt64> = []
        for _ in 0..<50 {
            let path = scratch.file(pattern(4096))
            let identity = try open(path).identity
            #expect(identities.insert(identity).inserted)
            inodes.insert(identity.inode)
            unlink(path.string)
        }
        #expect(identities.allSatisfy { $0.birth > 0 }, "this filesystem tells when a file was made")
        #expect(inodes.count < 50, "and gives inode numbers again")
    }

    /// A device never tells whether it was changed, so it never wakes. Its claim takes no descriptor of its own, and is
    /// given back while it rests.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here")) func devices() throws {
        let device = try LoopDevice(size: 1 << 20)
        let image = try open(device.node)
        let count = image.descriptors.count
        #expect(count <= 3)
        try takeTurn(image)
        try image.beginWriting()
        #expect(image.descriptors.count == count)
        #expect(try descriptors(of: device.node) == count)
        image.endWriting()
        image.rest()
        #expect(try descriptors(of: device.node) == 0)
        #expect(!image.wake(with: try open(device.node)))
    }
}
