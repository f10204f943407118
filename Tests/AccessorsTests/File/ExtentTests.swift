import Glibc
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import Accessors

@Suite("Extents")
struct ExtentTests {
    private let scratch = Scratch()

    private func extents(_ image: ImageFile, _ range: Range<Int64>) throws -> [Extent] {
        var found: [Extent] = []
        try image.extents(of: range) {
            found.append($0)
            return true
        }
        return found
    }

    /// True if they cover `range` without gap or overlap, and none of them is empty.
    private func isTiling(_ extents: [Extent], _ range: Range<Int64>) -> Bool {
        var position = range.lowerBound
        for extent in extents {
            if extent.range.lowerBound != position || extent.range.isEmpty { return false }
            position = extent.range.upperBound
        }
        return position == range.upperBound
    }

    /// A page that was written is never called a hole. A page that was not, or that was trimmed, always is. The extents
    /// of any part of the image have no gap and no overlap.
    @Test(.enabled(if: Machine.punchesHoles, "temporary files here have no holes"), arguments: 0..<40)
    func model(seed: Int) throws {
        var random = SplitMix64(seed: UInt64(seed))
        let pages = 64
        let size = Int64(pages * 4096 - Int.random(in: 0..<4096, using: &random))
        let image = try ImageFile(path: scratch.hole(size), direct: Bool.random(using: &random) ? .auto : .off)
        var isData = [Bool](repeating: false, count: pages)
        for _ in 0..<30 {
            let first = Int.random(in: 0..<pages, using: &random)
            let end = min(pages, first + Int.random(in: 1...8, using: &random))
            let isWrite = Bool.random(using: &random)
            for page in first..<end { isData[page] = isWrite }
            if isWrite {
                try image.writeOut(PageMemory(pattern((end - first) * 4096)), at: Int64(first * 4096))
            } else {
                try image.trim(Int64(first * 4096)..<min(size, Int64(end * 4096)))
            }
        }
        for _ in 0..<30 {
            let lower = Int64.random(in: 0...size, using: &random)
            let upper = Int64.random(in: lower...size, using: &random)
            let found = try extents(image, lower..<upper)
            #expect(isTiling(found, lower..<upper), "seed \(seed): \(found)")
            let isRight = found.allSatisfy { extent in
                let touched = extent.range.lowerBound / 4096...(extent.range.upperBound - 1) / 4096
                return touched.allSatisfy { isData[Int($0)] == (extent.kind == .data) }
            }
            #expect(isRight, "seed \(seed): \(found)")
        }
    }

    /// The walk ends when the report says so.
    @Test(.enabled(if: Machine.punchesHoles, "temporary files here have no holes"))
    func earlyEnd() throws {
        let image = try ImageFile(path: scratch.hole(1 << 20))
        try image.writeOut(PageMemory(4096), at: 8192)
        var count = 0
        try image.extents(of: 0..<1 << 20) { _ in
            count += 1
            return count < 2
        }
        #expect(count == 2)
    }

    /// A range outside is refused, and an empty one has no extents. An image that has shrunk has no hole at its end.
    @Test func limits() throws {
        let path = scratch.hole(1 << 20)
        let image = try ImageFile(path: path)
        #expect(throws: AccessError(EINVAL)) { try image.extents(of: 0..<(1 << 20) + 1) { _ in true } }
        #expect(try extents(image, 5..<5) == [])
        truncate(path, to: 8192)
        let found = try extents(image, 0..<1 << 20)
        #expect(isTiling(found, 0..<1 << 20))
        #expect(found.last?.kind == .data)
        let empty = try ImageFile(path: scratch.file([], named: "empty"))
        #expect(try extents(empty, 0..<0) == [])
    }

    /// If nothing is known of holes, everything is data: on block devices, and on ramfs.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here"))
    func device() throws {
        let device = try LoopDevice(size: 1 << 20)
        let image = try ImageFile(path: device.node)
        #expect(try extents(image, 7..<1 << 20) == [Extent(7..<1 << 20, .data)])
    }

    @Test(.enabled(if: Machine.canMount("ramfs"), "ramfs cannot be mounted"))
    func ramfs() throws {
        let mount = try Mount("ramfs")
        let image = try ImageFile(path: mount.scratch.file(pattern(10_000)))
        #expect(try extents(image, 0..<10_000) == [Extent(0..<10_000, .data)])
    }
}
