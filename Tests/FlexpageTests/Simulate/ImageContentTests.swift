import Glibc
import TestSupport
import Testing

@testable import flexpage

/// What a file says of the pages of simulated images.
@Suite struct ImageContentTests {
    /// Pages are what they are, and come again after the end of the file. Bytes after the last page do not count.
    @Test func kindsOfPages() throws {
        let file = try ContentFile([.zeroes, .plain, .random], rest: 100)
        let content = try file.content()
        #expect(content.pages == 3)
        for round: UInt64 in [0, 1, 1_000_000, 1 << 50] {
            #expect(content.page(3 * round) == .zeroes && content.page(3 * round + 2) == .dense)
            guard case .compressed(let size) = content.page(3 * round + 1) else {
                Issue.record("a page of one byte compresses")
                continue
            }
            #expect(size > 0 && size < 100)
        }
        #expect(content.failure == nil)
    }

    /// A page that is almost all random is not worth keeping; one of which half is random is.
    @Test func threeQuartersAreTheLimit() throws {
        let scratch = Scratch()
        var random = SplitMix64(seed: 3)
        func page(randomBytes: Int) -> [UInt8] {
            (0..<4096).map { $0 < randomBytes ? UInt8(truncatingIfNeeded: random.next()) : 1 }
        }
        try Files.write(page(randomBytes: 2048) + page(randomBytes: 3500), to: scratch.path("content"))
        let content = try ImageContent(path: scratch.path("content"))
        guard case .compressed(let size) = content.page(0) else {
            Issue.record("half of a page compresses")
            return
        }
        #expect(size > 2048 && size <= LZ4.maxSize)
        #expect(content.page(1) == .dense)
    }

    /// What has been compressed comes back as it was.
    @Test func compressionIsReversible() throws {
        let page = (0..<4096).map { UInt8($0 / 16 % 251) }
        let compressed = UnsafeMutableRawPointer.allocate(byteCount: LZ4.maxSize, alignment: 8)
        let again = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 8)
        defer {
            compressed.deallocate()
            again.deallocate()
        }
        let size = try #require(page.withUnsafeBytes { LZ4.compress($0.baseAddress!, into: compressed) })
        #expect(size < LZ4.maxSize)
        LZ4.decompress(compressed, count: size, into: again)
        #expect(Array(UnsafeRawBufferPointer(start: again, count: 4096)) == page)
    }

    /// More pages than are remembered, in a sparse file of terabytes: none is taken for another.
    @Test func aHugeImage() throws {
        let scratch = Scratch()
        let path = scratch.path("content")
        try Files.write([1], to: path)
        #expect(truncate(path, 1 << 42) == 0)
        // The same place among what is remembered as page 0, which is not all zeroes.
        let content = try ImageContent(path: path)
        #expect(content.pages == 1 << 30)
        for _ in 0..<3 {
            #expect(content.page(1 << 20) == .zeroes)
            #expect(content.page(0) != .zeroes)
            #expect(content.page(5 << 20) == .zeroes)
        }
    }

    /// Each is one sentence, which names the file.
    @Test func filesThatCannotBeUsed() throws {
        let scratch = Scratch()
        func complaint(_ path: String) -> String? {
            do {
                _ = try ImageContent(path: path)
                return nil
            } catch {
                return "\(error)".replacing(scratch.directory, with: "")
            }
        }
        #expect(complaint(scratch.path("none")) == "/none: cannot be opened: No such file or directory")
        try Files.write([], to: scratch.path("empty"))
        #expect(
            complaint(scratch.path("empty"))
                == "/empty: it has 0 bytes; expected at least a page of 4096 as the content")
        try Files.write([1, 2, 3], to: scratch.path("small"))
        #expect(
            complaint(scratch.path("small"))
                == "/small: it has 3 bytes; expected at least a page of 4096 as the content")
        #expect(
            complaint(scratch.directory)
                == ": expected a file or a block device with the content of an image")
    }

    /// A file that becomes shorter meanwhile is an error, and not content.
    @Test func aFileThatShrinks() throws {
        let file = try ContentFile([.plain, .plain, .plain])
        let content = try file.content()
        #expect(content.page(0) != .dense)
        #expect(truncate(file.path, 4096) == 0)
        #expect(content.page(2) == .dense)
        #expect(content.failure?.description == "\(file.path): cannot be read: Input/output error")
    }
}
