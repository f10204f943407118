import Glibc
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import Accessors

/// Several writes at once have the effect that each would have alone.
@Suite("Writing many at once")
struct WritingManyTests {
    private let scratch = Scratch()

    private static let hasRings: Bool = {
        let rings = WriteRings()
        rings.prepare()
        return Machine.hasDirect && rings.count > 0
    }()

    /// Writes `writes` to an image at once: each is an offset and bytes.
    private func writeOut(_ writes: [(offset: Int, bytes: [UInt8])], to image: ImageFile) -> [AccessError?] {
        let memory = writes.map { PageMemory($0.bytes) { 2 } }
        var all = zip(writes, memory).map { WriteOut($1.all, at: Int64($0.offset)) }
        return withExtendedLifetime(memory) {
            all.withUnsafeMutableBufferPointer { image.writeOut($0) }
            return all.map(\.error)
        }
    }

    /// `count` runs of one to five pages with gaps between them, and the size of the image they fill.
    private func runs(_ count: Int, salt: Int) -> (writes: [(offset: Int, bytes: [UInt8])], size: Int) {
        var offset = 0
        var writes: [(offset: Int, bytes: [UInt8])] = []
        for number in 0..<count {
            let pages = number % 5 + 1
            writes.append((offset, pattern(pages * 4096, salt: salt + number)))
            offset += (pages + number % 3) * 4096
        }
        return (writes, offset + 8192)
    }

    /// Every byte of every run is written at its offset, and nothing beside it, with rings and without. If the kernel
    /// has rings, one call does all of it, an odd tail included.
    @Test(arguments: [1, 2, 3, 16, WriteOut.maxCount], [DirectMode.auto, .off])
    func everyByte(count: Int, direct: DirectMode) throws {
        for (hasRings, tail) in [(false, 0), (true, 0), (true, 17)] {
            var (writes, size) = runs(count, salt: count)
            size += tail
            if tail > 0 { writes[count - 1] = (size - tail, pattern(tail, salt: 99)) }
            let path = scratch.file(pattern(size))
            let image = try ImageFile(path: path, direct: direct)
            if hasRings { image.rings.prepare() }
            #expect(writeOut(writes, to: image).allSatisfy { $0 == nil })
            var wanted = pattern(size)
            for write in writes {
                let end = min(size, write.offset + write.bytes.count)
                wanted.replaceSubrange(write.offset..<end, with: write.bytes[..<(end - write.offset)])
            }
            expectSame(contents(of: path), wanted)
        }
    }

    /// If the kernel has rings, they are used.
    @Test(.enabled(if: hasRings, "temporary files here have no O_DIRECT, or the kernel has no rings"))
    func goesTogether() throws {
        let (writes, size) = runs(8, salt: 3)
        let image = try ImageFile(path: scratch.file(pattern(size)))
        image.rings.prepare()
        let memory = writes.map { PageMemory($0.bytes) }
        var all = zip(writes, memory).map { WriteOut($1.all, at: Int64($0.offset)) }
        withExtendedLifetime(memory) {
            all.withUnsafeMutableBufferPointer { #expect(image.writeTogether($0)) }
        }
        #expect(all.allSatisfy { $0.error == nil })
    }

    /// An image closes its rings when it goes. If they stayed open, the next free descriptor would be far up.
    @Test func ringsAreClosed() throws {
        let path = scratch.hole(1 << 20)
        for _ in 0..<300 { try ImageFile(path: path).rings.prepare() }
        let next = try FileDescriptor.open("/dev/null", .readOnly)
        #expect(next.rawValue < 1000)
        try next.close()
    }

    /// In an image that has become shorter, what is gone is EIO and what remains is written. The image stays short.
    @Test(arguments: [DirectMode.auto, .off])
    func shrunk(direct: DirectMode) throws {
        let (writes, size) = runs(12, salt: 5)
        let path = scratch.file(pattern(size))
        let image = try ImageFile(path: path, direct: direct)
        image.rings.prepare()
        let left = writes[6].offset
        truncate(path, to: Int64(left))
        let errors = writeOut(writes, to: image)
        #expect(errors[..<6].allSatisfy { $0 == nil })
        #expect(errors[6...].allSatisfy { $0 == AccessError(EIO) })
        var wanted = Array(pattern(size)[..<left])
        for write in writes[..<6] {
            wanted.replaceSubrange(write.offset..<write.offset + write.bytes.count, with: write.bytes)
        }
        expectSame(contents(of: path), wanted)
    }

    /// On a full filesystem only the writes that need space fail.
    @Test(
        .enabled(if: Machine.canMountExt4, "no ext4 on a loop device here"), arguments: [DirectMode.auto, .off])
    func noSpace(direct: DirectMode) throws {
        let mount = try Mount(ext4: 8 << 20)
        let image = try ImageFile(path: mount.scratch.hole(64 << 20), direct: direct)
        image.rings.prepare()
        let there = (0..<8).map { (offset: $0 << 16, bytes: pattern(8192, salt: $0)) }
        #expect(writeOut(there, to: image).allSatisfy { $0 == nil })
        try image.makeDurable()
        shell("dd if=/dev/zero of='\(mount.scratch("filler"))' bs=1M; sync '\(mount.scratch("filler"))'")
        let mixed = (0..<16).map { number in
            let offset = number % 2 == 0 ? (number / 2) << 16 : 32 << 20 + number << 20
            return (offset: offset, bytes: pattern(number % 2 == 0 ? 8192 : 1 << 20, salt: 100 + number))
        }
        let errors = writeOut(mixed, to: image)
        for (number, error) in errors.enumerated() {
            #expect(error == (number % 2 == 0 ? nil : AccessError(ENOSPC)), "write \(number)")
        }
        for number in stride(from: 0, to: 16, by: 2) {
            let back = PageMemory(8192)
            try image.populate(back, at: Int64(mixed[number].offset))
            expectSame(back.bytes, mixed[number].bytes)
        }
    }

    /// More threads than rings, each with pages of its own, lose nothing.
    @Test func moreThreadsThanRings() throws {
        let size = 16 << 20
        let path = scratch.hole(Int64(size))
        let image = try ImageFile(path: path)
        image.rings.prepare()
        let workers = (0..<16).map { thread in
            Worker { (0..<8).flatMap { self.writeOut(Self.places(thread, round: $0), to: image) } }
        }
        for worker in workers { worker.start() }
        for worker in workers { #expect(try worker.join().allSatisfy { $0 == nil }) }
        let all = contents(of: path)
        for thread in 0..<16 {
            for round in 0..<8 {
                for place in Self.places(thread, round: round) {
                    expectSame(Array(all[place.offset..<place.offset + 4096]), place.bytes)
                }
            }
        }
    }

    /// Sixteen pages with a gap after each, which no other thread and no other round has.
    private static func places(_ thread: Int, round: Int) -> [(offset: Int, bytes: [UInt8])] {
        (0..<16).map { number in
            let page = thread * 256 + round * 32 + number * 2
            return (page * 4096, pattern(4096, salt: page))
        }
    }
}
