import Glibc
import Paging
import TestSupport
import Testing

@testable import Accessors

/// The file of a list: replaced as a whole, or not at all.
@Suite struct WarmFileTests {
    private func list(_ pages: Range<UInt64>) -> WarmList {
        var list = WarmList()
        list.set(WarmList.Entry(name: "", size: 1 << 30, runs: [ResidentRun(pages, warmth: 8)]))
        return list
    }

    private func complaint(_ body: () throws(WarmError) -> Void) -> String? {
        do throws(WarmError) {
            try body()
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// It is made for its owner alone, and replaced by a new file. Nothing is left beside it.
    @Test func replaced() throws {
        let scratch = Scratch()
        let file = try WarmFile(scratch.path("warm"))
        #expect(try file.read() == nil)
        try file.check()
        try file.write(list(0..<10))
        var first = stat()
        #expect(stat(file.path, &first) == 0 && first.st_mode & 0o7777 == 0o600)
        #expect(try file.read() == list(0..<10))
        // What a process that was killed has left.
        try Files.write(WarmList.magic + [1, 2, 3], to: file.path + ".new")
        let old = open(file.path, O_RDONLY)
        defer { close(old) }
        try file.write(list(5..<50))
        #expect(try file.read() == list(5..<50))
        // The former list is whole as long as anybody has it open.
        var bytes = [UInt8](repeating: 0, count: 4096)
        #expect(try WarmList(Array(bytes[..<pread(old, &bytes, 4096, 0)])) == list(0..<10))
        #expect(try Files.names(scratch.directory).sorted() == ["warm"])
    }

    /// A path from the current directory stays the same when the process changes it.
    @Test func relative() throws { #expect(try WarmFile("x/warm").path == "\(String(cString: getcwd(nil, 0)))/x/warm") }

    /// What is no file of ours is refused, and stays.
    @Test func notOurs() throws {
        let scratch = Scratch()
        mkfifo(scratch.path("pipe"), 0o600)
        let pipe = try WarmFile(scratch.path("pipe"))
        #expect(complaint { () throws(WarmError) in _ = try pipe.read() } == "it is not a regular file")
        #expect(complaint { () throws(WarmError) in try pipe.check() }?.contains("not a regular file") == true)
        try Files.write(Array("hello, this is no list".utf8), to: scratch.path("text"))
        #expect(
            complaint { () throws(WarmError) in _ = try WarmFile(scratch.path("text")).read() } == "it is no warm file")
        let text = try WarmFile(scratch.path("text"))
        let refusal = "it is no warm file, and is not replaced; expected a file of the server's own, or a new one"
        #expect(complaint { () throws(WarmError) in try text.check() } == refusal)
        #expect(complaint { () throws(WarmError) in try text.write(list(0..<1)) } == refusal)
        #expect(try Files.text(text.path) == "hello, this is no list")
        #expect(complaint { () throws(WarmError) in try pipe.write(list(0..<1)) }?.contains("not a regular") == true)
        // Nor is another file lost that has the name under which a new list is made.
        try Files.write(Array("an image".utf8), to: scratch.path("disk.new"))
        let disk = try WarmFile(scratch.path("disk"))
        for complaint in [
            complaint { () throws(WarmError) in try disk.check() },
            complaint { () throws(WarmError) in try disk.write(list(0..<1)) },
        ] {
            #expect(complaint?.contains("disk.new, which is no warm file, and is not replaced; move that") == true)
        }
        #expect(try Files.text(scratch.path("disk.new")) == "an image")
        // One without contents has nothing to lose.
        try Files.write([], to: scratch.path("empty"))
        try WarmFile(scratch.path("empty")).write(list(0..<1))
        try Files.resize(scratch.path("large"), to: WarmList.maxBytes + 1)
        #expect(
            complaint { () throws(WarmError) in _ = try WarmFile(scratch.path("large")).read() }
                == "it has 67108865 bytes; expected at most 67108864")
        // A link beside it is not followed.
        try Files.write([7], to: scratch.path("victim"))
        symlink(scratch.path("victim"), scratch.path("warm.new"))
        try WarmFile(scratch.path("warm")).write(list(0..<1))
        #expect(try Files.bytes(scratch.path("victim")) == [7])
    }

    /// A directory that takes no new file is found out, and a write that fails leaves the old list.
    @Test func noRoom() throws {
        let scratch = Scratch()
        let missing = try WarmFile(scratch.path("none/warm"))
        #expect(complaint { () throws(WarmError) in try missing.check() }?.contains("No such file") == true)
        #expect(
            complaint { () throws(WarmError) in try missing.write(list(0..<1)) }?.contains("cannot be made") == true)
        let file = try WarmFile(scratch.path("warm"))
        try file.write(list(0..<10))
        mkdir(file.path + ".new", 0o700)
        #expect(complaint { () throws(WarmError) in try file.write(list(0..<20)) }?.contains("not a regular") == true)
        #expect(try file.read() == list(0..<10))
    }

    /// Another user may need more than this one has.
    @Test(.enabled(if: getuid() == 0, "another user's rights need root")) func asAnotherUser() throws {
        let scratch = Scratch()
        mkdir(scratch.path("ours"), 0o700)
        let file = try WarmFile(scratch.path("ours/warm"))
        try file.write(list(0..<10))
        try file.check()
        asNobody {
            #expect(complaint { () throws(WarmError) in try file.check() }?.contains("Permission denied") == true)
            #expect(complaint { () throws(WarmError) in _ = try file.read() }?.contains("Permission denied") == true)
            #expect(complaint { () throws(WarmError) in try file.write(list(0..<1)) }?.contains("Permission") == true)
        }
        #expect(try file.read() == list(0..<10))
    }

    /// The clock of the server says when a list is due, and ends at once.
    @Test func minuteClock() {
        let fast = MinuteClock(seconds: 0)
        #expect(fast.wait())
        fast.end()
        #expect(!fast.wait())
        let slow = MinuteClock()
        slow.end()
        #expect(!slow.wait())
    }
}
