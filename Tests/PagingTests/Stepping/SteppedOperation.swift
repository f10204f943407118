import Glibc

@testable import Paging

/// Something small that a server does to an image, and in which it may die.
struct SteppedOperation: Sendable, CustomStringConvertible {
    let description: String
    /// What happens before.
    let setUp: @Sendable (KeptRig) throws -> Void
    /// The operation.
    let run: @Sendable (KeptRig) -> Void
    /// What it makes of the bytes of the image, if it changes any.
    let result: @Sendable ([UInt8]) -> [UInt8]

    private init(
        _ description: String, _ setUp: @escaping @Sendable (KeptRig) throws -> Void = SteppedOperation.usual,
        result: @escaping @Sendable ([UInt8]) -> [UInt8] = { $0 }, run: @escaping @Sendable (KeptRig) -> Void
    ) {
        self.description = description
        self.setUp = setUp
        self.run = run
        self.result = result
    }

    /// Pages 0 to 15 are clean, in flexpages of several pages. Pages 20 to 22 are dirty, and so is page 5, in part.
    /// Some frames are free.
    private static let usual: @Sendable (KeptRig) throws -> Void = { rig in
        _ = try rig.read(0..<16 << 12)
        try rig.write(0x51, at: 20 << 12..<23 << 12)
        try rig.write(0x52, at: 5 << 12 + 700..<5 << 12 + 800)
    }

    // MARK: What a server does

    static let all = [
        write("a write to clean pages of one flexpage", 9 << 12 + 300, 2 << 12 + 100),
        write("a write to dirty pages", 20 << 12 + 200, 5000),
        write("a write to a page that is dirty in part", 5 << 12 + 100, 1500),
        write("a write of pages that are missing", 40 << 12, 3 << 12),
        write("a write of a part of a missing page", 45 << 12 + 1000, 600),
        zero("a zero of clean pages", 10 << 12 + 100..<13 << 12 + 700),
        zero("a zero of dirty pages and missing ones", 18 << 12 + 100..<22 << 12 + 300),
        trim, recycle, move,
        SteppedOperation("a flush") { try! $0.providers[0].flush() },
    ]

    private static func write(_ description: String, _ offset: Int, _ count: Int) -> SteppedOperation {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 / 512) }
        return SteppedOperation(
            description,
            result: { $0[..<offset] + bytes + $0[(offset + count)...] },
            run: { rig in
                bytes.withUnsafeBytes {
                    try! Pager(rig.providers[0]).write(from: $0, at: Int64(offset), forced: false)
                }
            })
    }

    private static func zero(_ description: String, _ range: Range<Int64>) -> SteppedOperation {
        SteppedOperation(
            description, result: zeroed(range),
            run: { try! Pager($0.providers[0]).zero(range, mayTrim: true, onlyIfFast: false, forced: false) })
    }

    private static let trim = SteppedOperation(
        "a trim", result: zeroed(19 << 12..<22 << 12),
        run: { try! Pager($0.providers[0]).trim(19 << 12..<22 << 12, forced: false) })

    private static func zeroed(_ range: Range<Int64>) -> @Sendable ([UInt8]) -> [UInt8] {
        { $0[..<Int(range.lowerBound)] + [UInt8](repeating: 0, count: range.count) + $0[Int(range.upperBound)...] }
    }

    /// Reads of pages for which others must be recycled.
    private static let recycle = SteppedOperation(
        "a read that recycles pages",
        { rig in
            try usual(rig)
            for page in Int64(24)..<80 where rig.pages.memory.freeFrames > 0 {
                _ = try rig.read(page << 12..<(page + 1) << 12)
            }
        },
        run: { _ = try! $0.read(84 << 12..<86 << 12) })

    /// All memory is base pages. Two of the first sixteen frames hold pages that stay, and are dirty: they are moved.
    private static let move = SteppedOperation(
        "a move of dirty pages",
        { rig in
            for page in Int64(0)..<64 { _ = try rig.read(page << 12..<(page + 1) << 12) }
            for page in [1, 9] as [UInt64] {
                try rig.write(UInt8(page), at: Int64(page) << 12..<Int64(page + 1) << 12)
                let map = rig.providers[0].mapper.context.map
                let id = map.chunk(of: page).withLock { map.flexpage(at: page, in: $0) }
                precondition(rig.pages.queue.remove(id), "it is queued")
                rig.pages.queue.putBack(id, to: .main)
            }
        },
        run: { _ = $0.pages.takeRegion(order: 4, room: 16) })

    // MARK: Mistakes

    private static let fresh = [UInt8](repeating: 0x99, count: BasePage.size)

    /// What looks right, and is found by stepping alone.
    static let mistakes = [
        SteppedOperation(
            "a word that is stored before the bytes",
            result: { $0[..<(70 << 12)] + fresh + $0[(71 << 12)...] },
            run: { rig in
                let frame = (0..<SteppedTrial.frames).first { !rig.kept[$0].isLive }!
                rig.kept[frame] = KeptWord(PageKey(image: 0, page: 70), isOwed: true)
                memcpy(rig.kept.memory(ofFrame: frame), fresh, BasePage.size)
            }),
        SteppedOperation(
            "a dirty page that is overwritten in place",
            result: { $0[..<(20 << 12)] + fresh + $0[(21 << 12)...] },
            run: { memcpy($0.kept.memory(ofFrame: frame(of: 20, $0)), fresh, BasePage.size) }),
        SteppedOperation(
            "a frame that is filled before its word is cleared",
            run: { rig in
                let frame = frame(of: 2, rig)
                memcpy(rig.kept.memory(ofFrame: frame), fresh, BasePage.size)
                rig.kept[frame] = .empty
            }),
    ]

    private static func frame(of page: UInt64, _ rig: KeptRig) -> Int {
        (0..<SteppedTrial.frames).first { rig.kept[$0].isLive && rig.kept[$0].page == page }!
    }
}
