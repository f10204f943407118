import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Accessors
@testable import Paging

@Suite("State files", .enabled(if: StateRig.isAvailable, "\(StateRig.needs)"))
struct StateFileTests {
    private let scratch: Scratch
    private let path: FilePath

    init() throws {
        scratch = try Scratch(in: "/dev/shm")
        path = scratch("state")
    }

    private func problem(_ path: FilePath, create: Bool = true) -> StateError.Problem? {
        do throws(StateError) {
            _ = try StateFile(path, create: create)
            return nil
        } catch {
            #expect(error.path == path)
            expectSentence(error)
            return error.problem
        }
    }

    /// One line: the file, what is wrong and, after a semicolon, the way out.
    private func expectSentence(_ error: StateError) {
        let text = error.description
        #expect(text.hasPrefix("\(error.path): "))
        #expect(text.split(separator: ";").count == 2)
        #expect(!text.contains("\n"))
    }

    private func layout(_ file: StateFile, frames: Int = 64) -> KeptLayout {
        KeptLayout(frames: frames, unit: file.unit)
    }

    private func found(_ file: StateFile, frames: Int = 64) throws -> String {
        switch try file.take(layout(file, frames: frames)) {
        case .new: "new"
        case .same: "same"
        case .other: "other"
        }
    }

    /// Every reason has a sentence of the same form.
    @Test(arguments: [
        StateError.Problem.missing, .onDisk("ext4"), .symbolicLink, .notRegular, .foreign(7), .open(0o644), .linked(2),
        .held(by: 1), .held(by: nil), .noRoom(needed: 2, available: 1), .damaged(.noState), .damaged(.otherVersion(2)),
        .damaged(.otherLength), .damaged(.otherLayout), .damaged(.badImage(1)), .damaged(.badFrame(1)),
        .damaged(.twoVersions(1)), .unseenLocks(.noSuchFileOrDirectory), .failed("flock", .noLocks),
    ])
    func messages(problem: StateError.Problem) {
        let error = StateError("/run/state", problem)
        expectSentence(error)
        if case .damaged = problem { return }
        #expect(error.description != StateError("/run/state", .failed("", .ioError)).description)
    }

    /// A file that is made is private, and all of it is allocated.
    @Test func made() throws {
        let file = try StateFile(path)
        #expect(try found(file, frames: 1000) == "new")
        let made = status(of: path)
        #expect(made.st_mode & 0o7777 == 0o600)
        #expect(Int(made.st_size) == layout(file, frames: 1000).bytes)
        #expect(made.st_blocks * 512 >= made.st_size)
    }

    /// What a server has left is found again with the same layout; with another one it is another state.
    @Test func found() throws {
        do {
            let file = try StateFile(path)
            guard case .new(let state) = try file.take(layout(file)) else { throw Trouble("it is new") }
            state.header.pointee.short_lives = 7
        }
        let file = try StateFile(path, create: false)
        #expect(try found(file) == "same")
        #expect(try file.look()?.header.pointee.short_lives == 7)
        #expect(try found(file, frames: 65) == "other")
        #expect(try file.make(layout(file, frames: 65)).frames == 65)
        #expect(try found(file, frames: 65) == "same")
        #expect(try file.look()?.header.pointee.short_lives == 0)
    }

    /// A server that dies while the file is made leaves nothing in it, at whichever point.
    @Test(arguments: [0, 4096, 8192]) func incomplete(size: Int) throws {
        do {
            let file = try StateFile(path)
            let state = try file.make(layout(file))
            state.header.pointee.is_ready = 0
        }
        truncate(path, to: Int64(size))
        #expect(try found(try StateFile(path)) == "new")
    }

    /// So does one that dies before there is anything but zeroes.
    @Test func zeroes() throws {
        write([UInt8](repeating: 0, count: 4096), to: path)
        chmod(path.string, 0o600)
        #expect(try found(try StateFile(path)) == "new")
    }

    /// Files that are no states are refused and stay what they are, whatever they begin with.
    @Test(arguments: [[1, 2, 3], pattern(8192), [UInt8](repeating: 0, count: 8192)]) func otherFiles(bytes: [UInt8])
        throws
    {
        write(bytes, to: path)
        chmod(path.string, 0o600)
        let file = try StateFile(path)
        #expect(throws: StateError(path, .damaged(.noState))) { try file.take(layout(file)) }
        #expect(contents(of: path) == bytes)
    }

    /// A disk image that is one hole stays one hole.
    @Test func holes() throws {
        let size: Int64 = 1 << 40
        write([], to: path)
        truncate(path, to: size)
        chmod(path.string, 0o600)
        let file = try StateFile(path)
        #expect(throws: StateError(path, .damaged(.noState))) { try file.take(layout(file)) }
        #expect(status(of: path).st_blocks == 0)
    }

    /// The state of a file that has lost its end, or has holes, is refused or made whole.
    @Test func truncated() throws {
        do {
            let file = try StateFile(path)
            _ = try file.make(layout(file, frames: 1000))
        }
        let size = status(of: path).st_size
        truncate(path, to: Int64(size) - 4096)
        #expect(throws: StateError(path, .damaged(.otherLength))) { try StateFile(path).look() }
        truncate(path, to: Int64(size) - 1)
        #expect(throws: StateError(path, .damaged(.noState))) { try StateFile(path).look() }
        truncate(path, to: Int64(size))
        _ = try StateFile(path).look()
        #expect(status(of: path).st_blocks * 512 >= size)
    }

    /// A server that is there is named.
    @Test func held() throws {
        let file = try StateFile(path)
        #expect(problem(path) == .held(by: nil))
        withExtendedLifetime(file) {}
    }

    /// Another process that has it is named.
    @Test(.enabled(if: Subprocess.exists("flock"), "there is no flock here")) func heldByAnother() throws {
        write([], to: path)
        chmod(path.string, 0o600)
        // Not by a child of this process: such a one has copies of its descriptors.
        let script = "(flock 9 && exec sleep 1000) 9>>'\(path)' & echo $!; wait"
        let shell = try Subprocess(["sh", "-c", script], outputPath: "\(scratch.directory)/output")
        let holder = try Patience.wait(seconds: 60, "nobody has it") {
            problem(path) == nil ? nil : Int32(shell.output.dropLast())
        }
        defer { kill(holder, SIGKILL) }
        guard case .held(let process) = problem(path) else { throw Trouble("it is held") }
        #expect(process == holder)
    }

    /// The lock ends with the file's last descriptor.
    @Test func released() throws {
        do { _ = try StateFile(path) }
        try Patience.wait(seconds: 60, "the file is still held") { problem(path) == nil ? () : nil }
    }

    // MARK: Refusals

    @Test func disks() throws {
        let disk = Scratch()
        guard case .onDisk = problem(disk("state")) else { throw Trouble("a disk is refused") }
        #expect(access(disk("state").string, F_OK) != 0, "nothing is left there")
    }

    @Test func kinds() throws {
        #expect(problem(path, create: false) == .missing)
        #expect(problem(FilePath(scratch.directory)) == .notRegular)
        #expect(problem("/dev/null") == .notRegular)
        #expect(shell("mkfifo '\(scratch("fifo"))'").status == 0)
        #expect(problem(scratch("fifo")) == .notRegular)
        #expect(problem(scratch("nowhere").appending("state")) == .failed("opening", .noSuchFileOrDirectory))
        symlink(path.string, scratch("link").string)
        #expect(problem(scratch("link")) == .symbolicLink)
        #expect(access(path.string, F_OK) != 0)
    }

    @Test func permissions() throws {
        do { _ = try StateFile(path) }
        for mode in [0o604, 0o640, 0o610] as [mode_t] {
            chmod(path.string, mode)
            #expect(problem(path) == .open(mode))
        }
        chmod(path.string, 0o600)
        link(path.string, scratch("second").string)
        #expect(problem(path) == .linked(2))
        unlink(scratch("second").string)
        try Patience.wait(seconds: 60, "the file is refused") { problem(path) == nil ? () : nil }
    }

    @Test(.enabled(if: Machine.isRoot, "only root can give files away")) func owners() throws {
        do { _ = try StateFile(path) }
        #expect(chown(path.string, 65534, 65534) == 0)
        #expect(problem(path) == .foreign(65534))
    }

    /// Too little room is told with both figures, and leaves nothing behind.
    @Test(.enabled(if: Machine.canMount("tmpfs"), "tmpfs cannot be mounted")) func full() throws {
        let mount = try Mount("tmpfs", options: "size=1m")
        let path = mount.scratch("state")
        let file = try StateFile(path)
        let layout = layout(file, frames: 1000)
        do {
            _ = try file.make(layout)
            Issue.record("there is no room for it")
        } catch {
            guard case .noRoom(let needed, let available) = error.problem else { throw error }
            #expect(needed == layout.bytes)
            #expect((900 << 10...1 << 20).contains(available))
            expectSentence(error)
        }
        #expect(access(path.string, F_OK) != 0)
    }

    /// What another server has left stays as it is if there is no room for what is to take its place: nothing.
    @Test(.enabled(if: Machine.canMount("tmpfs"), "tmpfs cannot be mounted")) func fullLater() throws {
        let mount = try Mount("tmpfs", options: "size=1m")
        let path = mount.scratch("state")
        do {
            let file = try StateFile(path)
            _ = try file.make(layout(file))
        }
        let again = try Patience.wait(seconds: 60, "the file is held") { try? StateFile(path, create: false) }
        #expect(throws: StateError.self) { try again.make(layout(again, frames: 1000)) }
        #expect(status(of: path).st_size == 4096)
        #expect(try found(again) == "new")
    }

    /// A tmpfs that gives huge pages if they are asked for gives them to the file, all but the first.
    @Test(.enabled(if: givesHugePages, "no tmpfs gives huge pages here")) func hugePagesOfTmpfs() throws {
        try checkHugePages(of: "huge=advise", less: 3)
    }

    /// A tmpfs that gives none by itself, as /dev/shm, has them too, all of them.
    @Test(.enabled(if: collapsesPages, "the kernel collapses no pages of a tmpfs here")) func collapsedPages() throws {
        try checkHugePages(of: "huge=never", less: 2)
    }

    /// - Parameter pages: How many huge pages may be missing, those at the ends among them.
    private func checkHugePages(of option: String, less pages: Int) throws {
        let mount = try Mount("tmpfs", options: "size=64m,\(option)")
        let file = try StateFile(mount.scratch("state"))
        let layout = layout(file, frames: 4096)
        _ = try file.make(layout)
        let huge = try Self.kilobytes("ShmemPmdMapped", of: file.path)
        #expect(huge << 10 >= layout.bytes - pages << 21)
        #expect(status(of: file.path).st_blocks * 512 >= layout.bytes)
        // Without room for them there are small ones, and no signal.
        let full = try StateFile(mount.scratch("full"))
        #expect(throws: StateError.self) { try full.make(self.layout(full, frames: 16384)) }
    }

    private static var collapsesPages: Bool {
        guard let mount = try? Mount("tmpfs", options: "size=8m,huge=never") else { return false }
        let (path, size) = (mount.scratch("page"), 4 << 20)
        let number = Glibc.open("\(path)", O_RDWR | O_CREAT, 0o600)
        guard number >= 0 else { return false }
        defer { close(number) }
        guard ftruncate(number, size) == 0,
            let base = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, number, 0), base != MAP_FAILED
        else { return false }
        defer { munmap(base, size) }
        memset(base, 1, size)
        let aligned = UnsafeMutableRawPointer(bitPattern: (UInt(bitPattern: base) + 0x1F_FFFF) & ~0x1F_FFFF)
        let madvCollapse: Int32 = 25
        return madvise(aligned, 2 << 20, madvCollapse) == 0
    }

    private static var givesHugePages: Bool {
        (try? Mount("tmpfs", options: "size=1m,huge=advise")) != nil
            && (try? Files.text("/proc/self/smaps").contains("ShmemPmdMapped")) == true
    }

    /// A figure of this process's mapping of a file.
    private static func kilobytes(_ figure: String, of path: FilePath) throws -> Int {
        let lines = try Files.text("/proc/self/smaps").split(separator: "\n")
        let mapping = lines.drop { !$0.hasSuffix(path.string) }
        let line = mapping.first { $0.hasPrefix("\(figure):") }
        return try #require(line.flatMap { Int($0.split(separator: " ")[1]) })
    }

    /// On hugetlbfs the file consists of huge pages. Without any in reserve, there is no room.
    @Test(.enabled(if: Machine.canMount("hugetlbfs"), "hugetlbfs cannot be mounted")) func hugePages() throws {
        let mount = try Mount("hugetlbfs", options: "mode=755")
        let file = try StateFile(mount.scratch("state"))
        #expect(file.unit >= 1 << 21)
        let layout = try #require(file.layout(memory: 8 << 20))
        #expect(layout.bytes % file.unit == 0)
        do {
            _ = try file.make(layout)
        } catch {
            guard case .noRoom = error.problem else { throw error }
        }
    }
}
