import Glibc
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import Accessors

/// Reads that are waited for awake have the effect of any others, and are given up where they do not help.
@Suite("Polled reads")
struct PolledReadsTests {
    private let scratch = Scratch()

    private static let hasRing: Bool = {
        let reads = PolledReads()
        reads.prepare()
        return reads.hasRing
    }()

    /// An image whose lone reads poll, if the kernel lets them.
    private func polling(_ path: FilePath, direct: DirectMode = .auto) throws -> ImageFile {
        let image = try ImageFile(path: path, direct: direct)
        image.rings.reads.prepare()
        return image
    }

    /// Every byte is read, page by page, whether it polls or not. What lies past the end is zero.
    @Test(arguments: awkwardSizes, [DirectMode.auto, .off])
    func everyByte(size: Int, direct: DirectMode) throws {
        let image = try polling(scratch.file(pattern(size)), direct: direct)
        let expected = pattern(size) + [UInt8](repeating: 0, count: Int(ImageFile.roundedUp(Int64(size))) - size)
        for page in stride(from: 0, to: size, by: 4096) {
            // Each of them polls, whatever became of the one before.
            image.rings.reads.note(wasAwake: true)
            let memory = PageMemory(4096)
            try image.populate(memory, at: Int64(page))
            if memory.bytes != Array(expected[page..<page + 4096]) { Issue.record("page at \(page)") }
        }
    }

    /// Several pieces in one read.
    @Test func pieces() throws {
        let image = try polling(scratch.file(pattern(32 << 10)))
        let memory = PageMemory([UInt8](repeating: 7, count: 32 << 10)) { 2 }
        try withExtendedLifetime(memory) { try image.populate(memory.all, at: 0) }
        expectSame(memory.bytes, pattern(32 << 10))
    }

    /// In an image that has become shorter, what is gone is EIO and what remains is read.
    @Test func shrunk() throws {
        let path = scratch.file(pattern(20_000))
        let image = try polling(path)
        truncate(path, to: 8192)
        let memory = PageMemory(4096)
        try image.populate(memory, at: 4096)
        expectSame(memory.bytes, Array(pattern(20_000)[4096..<8192]))
        #expect(throws: AccessError(EIO)) { try image.populate(PageMemory(4096), at: 8192) }
    }

    /// A read polls if it is short and alone, and if there is a ring.
    @Test(.enabled(if: hasRing, "the kernel has no io_uring or forbids it, or there is one processor"))
    func whoPolls() {
        let reads = PolledReads()
        #expect(!reads.begin(4096), "it polls without a ring")
        reads.end()
        reads.prepare()
        #expect(reads.begin(4096))
        #expect(!reads.begin(4096), "it polls beside another one")
        reads.end()
        reads.end()
        #expect(!reads.begin(64 << 10), "it polls though it is long")
        reads.end()
        #expect(reads.begin(32 << 10))
        reads.end()
    }

    /// After each read that had to sleep, twice as many reads rest, 1024 at the most. One that did not sleep ends that.
    @Test(.enabled(if: hasRing, "the kernel has no io_uring or forbids it, or there is one processor"))
    func pauses() {
        let reads = PolledReads()
        reads.prepare()
        for wanted in [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024] {
            reads.note(wasAwake: false)
            var resting = 0
            while !reads.begin(4096) {
                reads.end()
                resting += 1
            }
            reads.end()
            #expect(resting == wanted)
        }
        reads.note(wasAwake: true)
        reads.note(wasAwake: false)
        #expect(
            (0..<3).map { _ in
                defer { reads.end() }
                return reads.begin(4096)
            } == [false, false, true])
    }

    /// Threads that read at once all get their pages.
    @Test func threads() throws {
        let size = 4 << 20
        let bytes = pattern(size)
        let image = try polling(scratch.file(bytes))
        let workers = (0..<8).map { thread in
            Worker {
                (0..<200).allSatisfy { round in
                    let page = (thread * 131 + round * 17) % (size / 4096) * 4096
                    let memory = PageMemory(4096)
                    guard (try? image.populate(memory, at: Int64(page))) != nil else { return false }
                    return memory.bytes == Array(bytes[page..<page + 4096])
                }
            }
        }
        for worker in workers { worker.start() }
        for worker in workers { #expect(try worker.join()) }
    }

    /// The ring is closed with the image that has it. If rings stayed open, the next free descriptor would be far up.
    @Test func ringIsClosed() throws {
        let path = scratch.hole(1 << 20)
        for _ in 0..<1100 { _ = try polling(path) }
        let next = try FileDescriptor.open("/dev/null", .readOnly)
        #expect(next.rawValue < 1000)
        try next.close()
    }
}
