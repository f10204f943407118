import Glibc
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import Accessors

@Suite("Zeroing and trimming")
struct ZeroingTests {
    private let scratch = Scratch()

    // MARK: - Against an array

    /// Any sequence of writes, zeroes and trims, at any bytes, has the same effect on the image as on an array. Nothing
    /// else is touched, nothing gets longer, and both ways of reading agree.
    @Test(arguments: 0..<40, [DirectMode.auto, .off])
    func model(seed: Int, direct: DirectMode) throws {
        var random = SplitMix64(seed: UInt64(seed))
        let size = seed < awkwardSizes.count ? awkwardSizes[seed] : Int.random(in: 1..<80_000, using: &random)
        let path = scratch.file(pattern(size))
        try compare(try ImageFile(path: path, direct: direct), path, &random, "seed \(seed)")
    }

    @Test(.enabled(if: Machine.canMount("tmpfs"), "tmpfs cannot be mounted"), arguments: [DirectMode.auto, .off])
    func modelOnTmpfs(direct: DirectMode) throws {
        let mount = try Mount("tmpfs", options: "size=8m")
        for seed in 0..<10 {
            var random = SplitMix64(seed: UInt64(seed))
            let path = mount.scratch.file(pattern(70_000 + seed))
            try compare(try ImageFile(path: path, direct: direct), path, &random, "seed \(seed)")
        }
    }

    /// ramfs has no holes, no zeroed ranges and no O_DIRECT: everything is written.
    @Test(.enabled(if: Machine.canMount("ramfs"), "ramfs cannot be mounted"))
    func modelOnRamfs() throws {
        let mount = try Mount("ramfs")
        for seed in 0..<10 {
            var random = SplitMix64(seed: UInt64(seed))
            let path = mount.scratch.file(pattern(70_000 + seed))
            try compare(try ImageFile(path: path), path, &random, "seed \(seed)")
        }
    }

    @Test(
        .enabled(if: Machine.canLoop, "no loop devices here"), arguments: [512, 4096],
        [DirectMode.auto, .off])
    func modelOnDevice(sector: Int, direct: DirectMode) throws {
        for seed in 0..<5 {
            var random = SplitMix64(seed: UInt64(seed))
            let size = sector == 512 ? 65536 + 512 * seed : 65536
            let device = try LoopDevice(size: Int(size), options: "--sector-size", "\(sector)")
            write(pattern(size), to: device.node)
            try compare(try ImageFile(path: device.node, direct: direct), device.node, &random, "seed \(seed)")
        }
    }

    private func compare(_ image: ImageFile, _ path: FilePath, _ random: inout SplitMix64, _ label: String) throws {
        var model = contents(of: path)
        var log: [String] = []
        for _ in 0..<60 {
            log.append(try change(image, &model, &random))
            let found = contents(of: path)
            let isRight =
                try found.count == model.count && begin(found, alike: model)
                && begin(image.allBytes(), alike: model)
            if !isRight {
                Issue.record("\(label), size \(model.count): \(log)")
                return
            }
        }
        try image.makeDurable()
    }

    /// Makes one random change to the image and the array, and describes it.
    private func change(_ image: ImageFile, _ model: inout [UInt8], _ random: inout SplitMix64) throws -> String {
        let lower = Int.random(in: 0...model.count, using: &random)
        let upper = Int.random(in: lower...model.count, using: &random)
        let page = lower / 4096 * 4096
        switch Int.random(in: 0..<5, using: &random) {
        case 0, 1:
            let salt = Int.random(in: 0..<1000, using: &random)
            let bytes = pattern(max(1, upper - page), salt: salt)
            let memory = PageMemory(bytes) { 2 }
            try image.writeOut(memory, at: Int64(page))
            let end = min(model.count, page + memory.count)
            model.replaceSubrange(page..<end, with: memory.bytes[..<(end - page)])
            return "write \(page)..<\(end)"
        case 2, 3:
            let mayTrim = Bool.random(using: &random)
            let onlyIfFast = Bool.random(using: &random)
            let what = "zero \(lower)..<\(upper) mayTrim \(mayTrim) onlyIfFast \(onlyIfFast)"
            return try attempt(what, &model, lower..<upper) {
                try image.zero(Int64(lower)..<Int64(upper), mayTrim: mayTrim, onlyIfFast: onlyIfFast)
            }
        default:
            let end = upper == model.count ? upper : max(page, upper / 4096 * 4096)
            return try attempt("trim \(page)..<\(end)", &model, page..<end) {
                try image.trim(Int64(page)..<Int64(end))
            }
        }
    }

    /// Zeroes the array's range if `body` succeeds. EOPNOTSUPP must have left the image alone.
    private func attempt(
        _ what: String, _ model: inout [UInt8], _ range: Range<Int>, _ body: () throws -> Void
    ) throws -> String {
        do {
            try body()
            zero(&model, range)
            return what
        } catch let error as AccessError where error.code == EOPNOTSUPP {
            return what + " unsupported"
        }
    }

    // MARK: - Space

    private func blocks(_ path: FilePath) -> Int { status(of: path).st_blocks }

    /// A trim, and a zero that may trim, give the space back, even that of an odd last page. Without permission to trim
    /// no space goes.
    @Test(.enabled(if: Machine.punchesHoles, "temporary files here have no holes"), arguments: [0, 1, 1000, 4095])
    func space(tail: Int) throws {
        let size = (1 << 20) + tail
        for method in 0..<3 {
            let path = scratch.file(pattern(size))
            #expect(shell("sync '\(path)'").status == 0)
            let full = blocks(path)
            let image = try ImageFile(path: path)
            switch method {
            case 0: try image.trim(0..<image.size)
            case 1: try image.zero(0..<image.size, mayTrim: true, onlyIfFast: true)
            default: try image.zero(0..<image.size, mayTrim: false, onlyIfFast: false)
            }
            try image.makeDurable()
            if method < 2 { #expect(blocks(path) == 0) } else { #expect(blocks(path) >= full) }
            expectSame(contents(of: path), [UInt8](repeating: 0, count: size))
        }
    }

    /// Zeroing a hole without permission to trim allocates it.
    @Test func zeroAllocates() throws {
        let path = scratch.hole(1 << 20)
        let image = try ImageFile(path: path)
        try image.zero(0..<1 << 20, mayTrim: false, onlyIfFast: false)
        try image.makeDurable()
        #expect(blocks(path) >= 2048)
    }

    /// A TiB of a sparse image takes one call, not one for each page.
    @Test(.enabled(if: Machine.punchesHoles, "temporary files here have no holes"))
    func cheap() throws {
        let image = try ImageFile(path: scratch.hole(4 << 40))
        try image.trim(0..<1 << 40)
        try image.zero(1 << 40..<2 << 40, mayTrim: true, onlyIfFast: true)
    }

    // MARK: - Refusals

    /// If there is no fast way, onlyIfFast is refused with nothing changed, and without it zeroes are written. If there
    /// are no holes, a trim is refused.
    @Test(.enabled(if: Machine.canMount("ramfs"), "ramfs cannot be mounted"))
    func notFast() throws {
        let mount = try Mount("ramfs")
        let path = mount.scratch.file(pattern(10_000))
        let image = try ImageFile(path: path)
        for mayTrim in [false, true] {
            #expect(throws: AccessError(EOPNOTSUPP)) {
                try image.zero(1..<9000, mayTrim: mayTrim, onlyIfFast: true)
            }
        }
        #expect(throws: AccessError(EOPNOTSUPP)) { try image.trim(0..<8192) }
        expectSame(contents(of: path), pattern(10_000))
        try image.zero(1..<9000, mayTrim: true, onlyIfFast: false)
        expectSame(contents(of: path), pattern(1) + [UInt8](repeating: 0, count: 8999) + pattern(10_000)[9000...])
    }

    /// On a device, less than a block has no fast way.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here"))
    func lessThanABlock() throws {
        let device = try LoopDevice(size: 1 << 20)
        write(pattern(1 << 20), to: device.node)
        let image = try ImageFile(path: device.node)
        #expect(throws: AccessError(EOPNOTSUPP)) { try image.zero(100..<4000, mayTrim: true, onlyIfFast: true) }
        expectSame(contents(of: device.node), pattern(1 << 20))
    }

    /// What another program left dirty in a claimed device's page cache can be zeroed and trimmed.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here"), arguments: [DirectMode.auto, .off])
    func dirtyDevice(direct: DirectMode) throws {
        let device = try LoopDevice(size: 1 << 20)
        let image = try ImageFile(path: device.node, direct: direct)
        try image.beginWriting()
        let other = try FileDescriptor.open(device.node, .readWrite)
        defer { try! other.close() }
        for round in 0..<30 {
            try other.writeAll(toAbsoluteOffset: 0, pattern(1 << 19))
            if round % 2 == 0 {
                try image.zero(100..<1 << 19, mayTrim: round % 4 == 0, onlyIfFast: false)
            } else {
                try image.trim(0..<1 << 19)
            }
            let start = round % 2 == 0 ? pattern(100) : []
            let zeroes = [UInt8](repeating: 0, count: (1 << 20) - start.count)
            expectSame(try image.allBytes(), start + zeroes)
        }
        image.endWriting()
    }

    /// Trimming a device gives back the space beneath it.
    @Test(.enabled(if: Machine.canLoop && Machine.punchesHoles, "no loop device with holes here"))
    func deviceSpace() throws {
        let device = try LoopDevice(size: (1 << 20) + 512)
        let image = try ImageFile(path: device.node)
        try image.writeOut(PageMemory(pattern((1 << 20) + 512)), at: 0)
        try image.makeDurable()
        let full = blocks(device.backing)
        try image.trim(0..<1 << 20)
        try image.makeDurable()
        #expect(blocks(device.backing) < full / 8)
        try expectSame(image.allBytes()[(1 << 20)...].prefix(512), pattern((1 << 20) + 512)[(1 << 20)...])
    }

    /// A range outside the image is refused; an empty one does nothing.
    @Test func ranges() throws {
        let path = scratch.file(pattern(5000))
        let image = try ImageFile(path: path)
        #expect(throws: AccessError(EINVAL)) { try image.zero(0..<5001, mayTrim: true, onlyIfFast: false) }
        #expect(throws: AccessError(EINVAL)) { try image.zero(-1..<5, mayTrim: true, onlyIfFast: false) }
        #expect(throws: AccessError(EINVAL)) { try image.trim(4096..<8192) }
        try image.zero(5000..<5000, mayTrim: true, onlyIfFast: false)
        try image.trim(0..<0)
        expectSame(contents(of: path), pattern(5000))
    }

    /// Zeroes are written over more bytes than `ZeroBytes` has, from inside a page to an odd end (tmpfs zeroes no
    /// ranges).
    @Test(.enabled(if: Machine.canMount("tmpfs"), "tmpfs cannot be mounted"), arguments: [DirectMode.auto, .off])
    func longZeroes(direct: DirectMode) throws {
        let mount = try Mount("tmpfs", options: "size=16m")
        let size = (5 << 20) + 77
        let path = mount.scratch.file(pattern(size))
        let image = try ImageFile(path: path, direct: direct)
        try image.zero(1234..<Int64(size - 7), mayTrim: false, onlyIfFast: false)
        let zeroes = [UInt8](repeating: 0, count: size - 7 - 1234)
        expectSame(contents(of: path), pattern(size)[..<1234] + zeroes + pattern(size)[(size - 7)...])
        #expect(throws: AccessError(EOPNOTSUPP)) { try image.zero(0..<4096, mayTrim: false, onlyIfFast: true) }
    }
}
