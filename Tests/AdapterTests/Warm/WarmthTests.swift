import Accessors
import Glibc
import Paging
import TestSupport
import Testing

@testable import Adapter

/// What a server writes to its warm file, what it reads of it, and what it says.
@Suite struct WarmthTests {
    private static let size: Int64 = 4 << 20

    /// A server's registry of images in memory, with what warms them.
    private final class Rig {
        let pages: Pages
        let registry: ProviderRegistry
        let prefetcher: Prefetcher
        let warmth: Warmth
        let clock = HandClock()
        let lines = Guarded<[String]>([])

        init(_ path: String) throws {
            pages = try Pages(memory: 16 << 20, readahead: 0)
            registry = ProviderRegistry(pages: pages, keepingUnused: true)
            prefetcher = try Prefetcher(pages: pages, threads: 0, warmers: 2)
            warmth = try Warmth(path, clock: clock) { [lines] line in lines.withLock { $0.append(line) } }
            try warmth.begin(registry)
        }

        /// Opens an image that is known by `number`.
        func open(_ number: UInt64, _ name: String, size: Int64 = WarmthTests.size) throws -> Provider {
            let identity = ImageIdentity(device: 9, inode: number)
            let provider = try registry.open(identity) {
                ScriptedSource([UInt8](repeating: 7, count: Int(size)))
            }
            warmth.opened(provider, name: name)
            return provider
        }

        func read(_ provider: Provider, _ pages: Range<Int64>) throws {
            try Pager(provider).populate(pages.lowerBound * 4096..<pages.upperBound * 4096)
        }

        var log: [String] { lines.withLock(\.self) }

        func end() {
            prefetcher.endWarming()
            warmth.end()
            prefetcher.stop()
        }
    }

    private func list(_ path: String) throws -> WarmList { try #require(try WarmFile(path).read()) }

    private func pages(_ path: String, _ name: String) throws -> Int? {
        try list(path).entries.first { $0.name == name }?.runs.reduce(0) { $0 + $1.pages.count }
    }

    /// Every minute and at the end what is in memory is written, and the next server reads it before a client asks.
    @Test func fromServerToServer() throws {
        let scratch = Scratch()
        let path = scratch.path("warm")
        let first = try Rig(path)
        let image = try first.open(1, "")
        first.clock.tick()
        #expect(try pages(path, "") == 0)
        try first.read(image, 10..<30)
        first.clock.tick()
        #expect(try pages(path, "") == 20)
        try first.read(image, 100..<110)
        first.end()
        #expect(try pages(path, "") == 30)
        #expect(first.log.isEmpty)
        let second = try Rig(path)
        let again = try second.open(1, "")
        while !again.isWarm { usleep(1000) }
        #expect(again.heldPages == 30)
        let before = again.counters.misses
        try second.read(again, 100..<110)
        #expect(again.counters.misses == before)
        second.end()
        #expect(try pages(path, "") == 30)
    }

    /// With several images, those that this server has not opened stay in the file, and each is warmed when it is
    /// opened. One without a name is for all clones.
    @Test func severalImages() throws {
        let scratch = Scratch()
        let path = scratch.path("warm")
        let first = try Rig(path)
        let (a, b) = (try first.open(1, "a"), try first.open(2, "b"))
        try first.read(a, 0..<5)
        try first.read(b, 0..<7)
        // It rests, and its pages stay.
        try first.registry.close(b)
        first.end()
        var golden = try list(path)
        golden.set(WarmList.Entry(name: "", size: WarmthTests.size, runs: [ResidentRun(0..<11, warmth: 8)]))
        try WarmFile(path).write(golden)
        let second = try Rig(path)
        second.clock.tick()
        let (again, clone) = (try second.open(2, "b"), try second.open(3, "clone"))
        while !again.isWarm || !clone.isWarm { usleep(1000) }
        #expect(again.heldPages == 7 && clone.heldPages == 11)
        second.end()
        #expect(second.log.isEmpty)
        #expect(try list(path).entries.map(\.name).sorted() == ["", "a", "b", "clone"])
        #expect(try pages(path, "a") == 5)
        #expect(try pages(path, "clone") == 11)
    }

    /// A list of one image serves a clone under another name. One of another size is ignored with a line, and so are
    /// the lists of several images if the server has one without a name.
    @Test func whatDoesNotFit() throws {
        let scratch = Scratch()
        let path = scratch.path("warm")
        var one = WarmList()
        one.set(WarmList.Entry(name: "gold", size: WarmthTests.size, runs: [ResidentRun(0..<3, warmth: 8)]))
        try WarmFile(path).write(one)
        let clones = try Rig(path)
        let clone = try clones.open(1, "clone")
        while !clone.isWarm { usleep(1000) }
        #expect(clone.heldPages == 3)
        let small = try clones.open(2, "gold", size: 1 << 20)
        #expect(
            clones.log == [
                "warm=\(path): its list is of an image of 4194304 bytes, and export \"gold\" has 1048576; it is ignored"
            ])
        _ = try clones.open(3, "other", size: 1 << 20)
        #expect(clones.log.count == 1)
        clones.end()
        #expect(small.heldPages == 0)
        #expect(try list(path).entries.count == 3)
        let single = try Rig(path)
        _ = try single.open(1, "")
        #expect(single.log == ["warm=\(path): it has the lists of 3 images; they are ignored"])
        single.end()
    }

    /// A server that ends before its images are warm leaves the former list as it was.
    @Test func anEarlyEnd() throws {
        let scratch = Scratch()
        let path = scratch.path("warm")
        var former = WarmList()
        former.set(WarmList.Entry(name: "", size: WarmthTests.size, runs: [ResidentRun(0..<900, warmth: 8)]))
        try WarmFile(path).write(former)
        let pages = try Pages(memory: 16 << 20, readahead: 0)
        let registry = ProviderRegistry(pages: pages)
        let clock = HandClock()
        let warmth = try Warmth(path, clock: clock) { _ in }
        try warmth.begin(registry)
        // There is no Prefetcher: nothing is ever read.
        let provider = try registry.open(ImageIdentity(device: 9, inode: 1)) {
            ScriptedSource([UInt8](repeating: 7, count: Int(WarmthTests.size)))
        }
        warmth.opened(provider, name: "")
        try Pager(provider).populate(0..<4096)
        clock.tick()
        warmth.end()
        #expect(try list(path) == former)
    }

    /// A list that cannot be written is one line, until it could be written again.
    @Test func oneLineForAll() throws {
        let scratch = Scratch()
        let path = scratch.path("warm")
        let rig = try Rig(path)
        let image = try rig.open(1, "")
        mkdir(path + ".new", 0o700)
        for page in 0..<3 as Range<Int64> {
            try rig.read(image, page..<page + 1)
            rig.clock.tick()
        }
        #expect(rig.log.count == 1)
        let reason = "a new list is made as \(path).new, which is not a regular file; move that, or name another file"
        #expect(rig.log.first?.hasPrefix("warm=\(path): the list is not written: \(reason)") == true, "\(rig.log)")
        rmdir(path + ".new")
        rig.clock.tick()
        #expect(try pages(path, "") == 3)
        mkdir(path + ".new", 0o700)
        try rig.read(image, 9..<10)
        rig.end()
        #expect(rig.log.count == 2)
        #expect(try pages(path, "") == 3)
    }

    /// What a person hears at the start.
    @Test func theStart() throws {
        let scratch = Scratch()
        let missing = scratch.path("none/warm")
        let error = #expect(throws: ConfigurationError.self) { try Warmth(missing) { _ in } }
        #expect(error?.text.hasPrefix("warm=\(missing): no new file can be made in its directory") == true)
        let path = scratch.path("warm")
        try Files.write(Array("an image, or something else".utf8), to: path)
        let refusal = #expect(throws: ConfigurationError.self) { try Warmth(path) { _ in } }
        #expect(refusal?.text.hasPrefix("warm=\(path): it is no warm file, and is not replaced; expected") == true)
        unlink(path)
        try Files.write(Array("FLEXWARM, the beginning".utf8), to: path)
        let warmth = try Warmth(path, clock: HandClock()) { _ in }
        #expect(warmth.warning == "warm=\(path): it is no warm file; the cache begins cold")
        #expect(try Warmth(scratch.path("new"), clock: HandClock()) { _ in }.warning == nil)
    }
}
