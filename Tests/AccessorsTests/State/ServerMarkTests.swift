import CLinux
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Accessors

@Suite("Marks of servers")
struct ServerMarkTests {
    private let scratch = Scratch()
    private let mark = ServerMark.random()

    private func open(_ path: FilePath) throws -> FileDescriptor { try FileDescriptor.open(path, .readWrite) }

    private func isSeen(_ mark: ServerMark) throws -> Bool { try !LockTable().locks(startingAt: mark.byte).isEmpty }

    /// Programs that other tests start have copies of our descriptors until exec.
    private func goes(_ mark: ServerMark) throws {
        try Patience.wait(seconds: 60, "the mark stays") { (try? isSeen(mark)) == false ? () : nil }
    }

    /// A mark can be seen while it is there, and goes with the last copy of the descriptor.
    private func expectLife(on path: FilePath) throws {
        let mark = ServerMark.random()
        #expect(try !isSeen(mark))
        let file = try open(path)
        try ServerMark.check(on: file.rawValue)
        try mark.put(on: file.rawValue)
        #expect(try isSeen(mark))
        let copy = try file.duplicate()
        try file.close()
        #expect(try isSeen(mark))
        let other = try open(path)
        // The nodes of a device can be different files.
        #expect(mark.isOnAnother(thanThat: other.rawValue))
        #expect(!mark.isOnAnother(thanThat: copy.rawValue))
        try copy.close()
        try goes(mark)
        #expect(!mark.isOnAnother(thanThat: other.rawValue))
        try other.close()
    }

    @Test func files() throws { try expectLife(on: scratch.file(pattern(10))) }

    @Test(.enabled(if: Machine.canMount("tmpfs"), "tmpfs cannot be mounted")) func tmpfs() throws {
        let mount = try Mount("tmpfs", options: "size=1m")
        try expectLife(on: mount.scratch.file(pattern(10)))
    }

    @Test(.enabled(if: Machine.canMountExt4, "no ext4 on a loop device here")) func ext4() throws {
        let mount = try Mount(ext4: 8 << 20)
        try expectLife(on: mount.scratch.file(pattern(10)))
    }

    /// Whether a filesystem of this kind can be made and mounted.
    private static func can(_ type: String) -> Bool {
        Subprocess.exists("mkfs.\(type)") && (try? mounted(type)) != nil
    }

    /// A filesystem on a device of its own.
    private static func mounted(_ type: String) throws -> (Mount, LoopDevice) {
        let device = try LoopDevice(size: 320 << 20)
        guard try Subprocess.run("mkfs.\(type)", "-q", device.path).status == 0 else { throw Trouble("mkfs.\(type)") }
        return (try Mount(type, options: "", device: device.path), device)
    }

    @Test(.enabled(if: can("xfs"), "xfs cannot be made and mounted")) func xfs() throws {
        let (mount, device) = try Self.mounted("xfs")
        try withExtendedLifetime(device) { try expectLife(on: mount.scratch.file(pattern(10))) }
    }

    @Test(.enabled(if: can("btrfs"), "btrfs cannot be made and mounted")) func btrfs() throws {
        let (mount, device) = try Self.mounted("btrfs")
        try withExtendedLifetime(device) { try expectLife(on: mount.scratch.file(pattern(10))) }
    }

    @Test(.enabled(if: Machine.canLoop, "no loop devices here")) func devices() throws {
        try expectLife(on: try LoopDevice(size: 1 << 20).node)
    }

    /// Servers have different marks, and marks of any number of servers lie beside each other.
    @Test func numbers() throws {
        let file = try open(scratch.file(pattern(10)))
        defer { try? file.close() }
        #expect(ServerMark.random(after: mark.server) != mark)
        #expect(ServerMark(server: .max).byte == (1 << 62) + (1 << 60) - 1)
        #expect(ServerMark(server: 0).byte == 1 << 62)
        let others = (0..<100).map { _ in ServerMark.random() }
        for other in others { try other.put(on: file.rawValue) }
        #expect(try others.allSatisfy { try isSeen($0) })
        #expect(try !isSeen(mark))
    }

    /// The lock of a writer and marks do not meet: not on the same description, and not on others.
    @Test func besideWriters() throws {
        let path = scratch.file(pattern(4096))
        let first = try ImageFile(path: path, mark: mark)
        let second = try ImageFile(path: path, mark: .random())
        try first.beginWriting()
        let third = try ImageFile(path: path, mark: .random())
        for other in [second, third] { #expect(throws: ImageError.self) { try other.beginWriting() } }
        #expect(linux_is_locked(second.descriptors[0]) == 1)
        first.endWriting()
        #expect(try isSeen(mark))
        #expect(linux_is_locked(second.descriptors[0]) == 0)
        try second.beginWriting()
        second.endWriting()
    }

    /// Each descriptor that moves bytes has the mark, with and without O_DIRECT, and for reading only. Without a server
    /// none has one.
    @Test(arguments: [DirectMode.auto, .off], [false, true]) func images(direct: DirectMode, readOnly: Bool) throws {
        let path = scratch.file(pattern(4096))
        do {
            let image = try ImageFile(path: path, direct: direct, readOnly: readOnly, mark: mark)
            let count = try LockTable().locks(startingAt: mark.byte).count
            #expect(count == image.descriptors.count - 1)
        }
        try goes(mark)
        let before = try LockTable().look().locks.count { $0.inode == status(of: path).st_ino }
        let image = try ImageFile(path: path, direct: direct, readOnly: readOnly)
        #expect(try LockTable().look().locks.count { $0.inode == status(of: path).st_ino } == before)
        withExtendedLifetime(image) {}
    }

    /// At rest there is no mark. The descriptors of another opening bring their own.
    @Test func resting() throws {
        let path = scratch.file(pattern(4096))
        let image = try ImageFile(at: try ImageDirectory.ofProcess().place(at: path), mark: mark)
        image.beginReading()
        image.rest()
        try goes(mark)
        #expect(image.wake(with: try ImageFile(at: try ImageDirectory.ofProcess().place(at: path), mark: mark)))
        #expect(try isSeen(mark))
    }

    /// A program that has all of the file locked, beyond its end, is in the way, and is told of.
    @Test(.enabled(if: shell("python3 -c 'import fcntl'").status == 0, "no python3 here")) func lockedWhole() throws {
        let path = scratch.file(pattern(4096))
        let holder = try Subprocess(
            [
                "python3", "-c",
                "import fcntl,sys,time; f=open(sys.argv[1],'r+'); fcntl.lockf(f, fcntl.LOCK_EX); "
                    + "open(sys.argv[1]+'.locked','w'); time.sleep(1000)",
                path.string,
            ], outputPath: "\(scratch.directory)/output")
        try Patience.wait(seconds: 60, "python does not lock") { access("\(path).locked", F_OK) == 0 ? () : nil }
        #expect(throws: ImageError(path, .lockedWhole)) { try ImageFile(path: path, mark: mark) }
        #expect(throws: Never.self) { try ImageFile(path: path) }
        kill(holder.pid, SIGKILL)
        _ = try holder.wait()
        #expect(throws: Never.self) { try ImageFile(path: path, mark: mark) }
    }

    /// Paths that cannot be kept are refused, with the way out.
    @Test func paths() throws {
        let long = (0..<6).reduce("\(scratch.directory)") { path, _ in "\(path)/\(String(repeating: "x", count: 150))" }
        #expect(shell("mkdir -p '\(long)'").status == 0)
        let path = FilePath("\(long)/image")
        write(pattern(10), to: path)
        #expect(throws: ImageError(path, .unkeptPath)) { try ImageFile(path: path, mark: mark) }
        #expect(throws: Never.self) { try ImageFile(path: path) }
        let bytes = shell("printf x > '\(scratch.directory)'/$(printf 'a\\377b'); echo '\(scratch.directory)'/a*b")
        #expect(bytes.status == 0)
        let names = try Files.names(scratch.directory)
        #expect(!names.isEmpty)
        #expect(shell("ln -s '\(scratch.directory)'/a?b '\(scratch("link"))'").status == 0)
        #expect(throws: ImageError(scratch("link"), .unkeptPath)) { try ImageFile(path: scratch("link"), mark: mark) }
    }

    // MARK: The list of locks

    /// Lines of the kernel's list as they are, and whatever else it may hold.
    @Test func lines() throws {
        let path = scratch("locks")
        let lines = """
            1: OFDLCK ADVISORY  READ -1 fe:00:1234 4611686018427387904 4611686018427387904
            2: POSIX  ADVISORY  WRITE 12 fe:00:1235 4611686018427387904 EOF
            2: -> OFDLCK ADVISORY  WRITE -1 00:2a:99 4611686018427387904 EOF
            3: FLOCK  ADVISORY  WRITE 700 fe:00:7 0 EOF
            4: OFDLCK ADVISORY  READ -1 fe:00:1234 0 4611686018427387903
            5: OFDLCK
            OFDLCK a b c d e
            6: OFDLCK ADVISORY  READ -1 <none>:0 99999999999999999999 5

            """
        write(Array(lines.utf8), to: path)
        let sight = try LockTable(path).look()
        #expect(sight.isWhole)
        #expect(
            sight.locks == [
                .init(inode: 1234, start: 1 << 62), .init(inode: 99, start: 1 << 62), .init(inode: 1234, start: 0),
            ])
        #expect(try LockTable(path).locks(startingAt: 1 << 62).map { $0.inode } == [1234, 99])
        #expect(try LockTable(path).locks(startingAt: 1).isEmpty)
        #expect(throws: Errno.noSuchFileOrDirectory) { try LockTable(scratch("nothing")).locks(startingAt: 1) }
    }

    /// If locks cannot be seen, a server is told before it relies on them.
    @Test func blindness() throws {
        write([], to: scratch("locks"))
        let file = try open(scratch.file(pattern(10)))
        defer { try? file.close() }
        #expect(throws: Errno.notSupported) { try ServerMark.check(on: file.rawValue, LockTable(scratch("locks"))) }
        #expect(throws: Never.self) { try ServerMark.check(on: file.rawValue) }
    }
}
