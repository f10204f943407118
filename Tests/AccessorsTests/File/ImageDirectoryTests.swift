import Glibc
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import Accessors

@Suite("Directories of images")
struct ImageDirectoryTests {
    private let scratch = Scratch()
    private var path: FilePath { scratch("images") }

    private func directory() throws -> ImageDirectory {
        mkdir(path.string, 0o755)
        mkdir(scratch("outside").string, 0o755)
        return try ImageDirectory(path)
    }

    private func make(_ name: String) { write(pattern(4096), to: path.appending(name)) }

    private func problem(_ directory: ImageDirectory, _ name: String) -> ImageError.Problem? {
        do throws(ImageError) {
            _ = try ImageFile(at: try directory.place(named: name))
            return nil
        } catch {
            #expect(error.description.hasPrefix("\(path)") && !error.description.contains("\n"))
            #expect(error.code > 0)
            return error.problem
        }
    }

    /// What a name leads to is found out without reading it; not for what is no image, or may not be read.
    @Test func identities() throws {
        let directory = try directory()
        make("a")
        make("b")
        symlink("a", path.appending("link").string)
        mkfifo(path.appending("fifo").string, 0o644)
        func identity(_ name: String) throws -> ImageIdentity? {
            ImageFile.identity(at: try directory.place(named: name))
        }
        let image = try ImageFile(at: try directory.place(named: "a"))
        #expect(try identity("a") == image.identity && identity("link") == image.identity)
        #expect(try identity("b") != nil && identity("b") != image.identity)
        for name in ["fifo", "missing"] { #expect(try identity(name) == nil) }
    }

    /// An image on which another program has a lease is not served read-only for that: the opening waits until the
    /// lease is given up. If it is not, the client is refused with the reason.
    @Test(arguments: [true, false]) func leases(isGivenUp: Bool) throws {
        let (setLease, readLease, unlock) = (Int32(1024), Int32(F_RDLCK), Int32(F_UNLCK))
        let directory = try directory()
        make("leased")
        // Its default is to end the process.
        signal(SIGIO, SIG_IGN)
        let holder = open(path.appending("leased").string, O_RDONLY | O_CLOEXEC)
        defer { close(holder) }
        try #require(fcntl(holder, setLease, readLease) == 0)
        guard isGivenUp else {
            #expect(problem(directory, "leased") == .leased)
            return
        }
        let waiter = Worker {
            usleep(100_000)
            _ = fcntl(holder, setLease, unlock)
        }
        waiter.start()
        #expect(try ImageFile(at: try directory.place(named: "leased")).isWritable)
        try waiter.join()
    }

    /// What cannot be listed is refused with its reason.
    @Test func whatIsNoDirectory() throws {
        func problem(_ path: FilePath) -> ImageError.Problem? {
            do throws(ImageError) {
                _ = try ImageDirectory(path)
                return nil
            } catch {
                return error.problem
            }
        }
        #expect(problem(scratch("none")) == .missingDirectory)
        #expect(problem(scratch.file(pattern(10))) == .noDirectory)
        guard Machine.isRoot else { return }
        _ = try directory()
        chmod(scratch.directory, 0o755)
        chmod(path.string, 0o711)
        #expect(asNobody { problem(path) } == .unreadableDirectory)
        chmod(path.string, 0o744)
        #expect(asNobody { problem(path) } == .unreadableDirectory, "it can be listed, and nothing in it be reached")
    }

    /// Names are sorted by their bytes. What is no image is left out, and so are names that are no UTF-8.
    @Test func names() throws {
        let directory = try directory()
        #expect(try directory.names() == [])
        for name in ["b", "a", "B", "é", "a b", "-", ".hidden"] { make(name) }
        mkfifo(path.appending("fifo").string, 0o644)
        mkdir(path.appending("inner").string, 0o755)
        symlink("b", path.appending("link").string)
        symlink("..", path.appending("up").string)
        #expect(shell("touch \"$(printf '\(path)/bad\\377')\"").status == 0)
        let wanted = ["-", ".hidden", "B", "a", "a b", "b", "link", "é"]
        for _ in 0..<3 { #expect(try directory.names() == wanted) }
        let workers = (0..<4).map { _ in Worker { try (0..<50).map { _ in try directory.names() } } }
        for worker in workers { worker.start() }
        for worker in workers { #expect(try worker.join().allSatisfy { $0 == wanted }) }
    }

    /// A directory that is renamed, or a process that changes its own, does no harm.
    @Test func renamed() throws {
        let directory = try directory()
        make("a")
        rename(path.string, scratch("elsewhere").string)
        mkdir(path.string, 0o755)
        #expect(try directory.names() == ["a"])
        try expectSame(ImageFile(at: directory.place(named: "a")).allBytes(), pattern(4096))
    }

    /// Only what is in the directory is opened, and what is no image is told apart.
    @Test func confined() throws {
        let directory = try directory()
        make("a")
        mkdir(path.appending("inner").string, 0o755)
        write(pattern(4096), to: path.appending("inner/b"))
        write(pattern(4096), to: scratch("outside").appending("secret"))
        symlink("inner/b", path.appending("link").string)
        symlink("../outside/secret", path.appending("out").string)
        symlink("\(path)/a", path.appending("absolute").string)
        symlink("/proc/self/fd/0", path.appending("magic").string)
        symlink("inner/../../outside/secret", path.appending("around").string)
        mkfifo(path.appending("fifo").string, 0o644)
        #expect(problem(directory, "a") == nil && problem(directory, "link") == nil)
        for name in ["out", "absolute", "magic", "around"] { #expect(problem(directory, name) == .outside, "\(name)") }
        for name in ["", ".", "..", "/", "inner/b", "a/", "/etc/passwd", String(repeating: "x", count: 256)] {
            #expect(problem(directory, name) == .noName, "\(name)")
        }
        #expect(problem(directory, "none") == .missing)
        #expect(problem(directory, "fifo") == .special("a FIFO"))
        #expect(problem(directory, "inner") == .directory)
    }

    /// Control characters in a name cannot end a line of the log.
    @Test func controls() throws {
        let directory = try directory()
        let name = "x\n\u{1b}[2J\u{85}\u{202e}y"
        let error = #expect(throws: ImageError.self) { try ImageFile(at: directory.place(named: name)) }
        #expect(error?.description.hasPrefix(#"\#(path)/x\x0a\x1b[2J\xc2\x85\xe2\x80\xaey: there is no"#) == true)
        #expect("a\"b\\".quoted() == #""a\"b\\""#)
        #expect("abcdef".quoted(maxLength: 3) == "\"abc…\"")
        #expect("plain é".withoutControls == "plain é")
    }
}
