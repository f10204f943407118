import Glibc
import Paging

/// Reads and writes of pieces of memory.
extension LayerImage {
    public func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        var cursor = PieceCursor(pieces)
        var position = offset
        while position < size, !cursor.run.isEmpty {
            if let run = nextRun(cursor, at: position) {
                try read(run, at: position)
                cursor.advance(run.count)
                position += Int64(run.count)
            } else {
                position += try readStaged(&cursor, at: position)
            }
        }
        cursor.zeroRest()
    }

    public func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        guard isWritable else { throw AccessError(EROFS) }
        var cursor = PieceCursor(pieces)
        var position = offset
        while position < size, !cursor.run.isEmpty {
            if let run = nextRun(cursor, at: position) {
                try write(UnsafeRawBufferPointer(run), at: position)
                cursor.advance(run.count)
                position += Int64(run.count)
            } else {
                position += try writeStaged(&cursor, at: position)
            }
        }
    }

    /// The next run of memory, if it is worth a call of its own; nil if it is to be put together with what follows, or
    /// with what else is in its blocks.
    private func nextRun(_ cursor: PieceCursor, at position: Int64) -> UnsafeMutableRawBufferPointer? {
        let run = cursor.run
        let count = Int(min(Int64(run.count), size - position))
        let isLast = Int64(count) == size - position || cursor.isInLastPiece
        guard count >= staging.size || isLast, isWhole(position..<position + Int64(count)) else { return nil }
        return UnsafeMutableRawBufferPointer(rebasing: run[..<count])
    }

    /// The blocks that one staging buffer takes of what is left, and the part of them that is meant.
    private func nextBlocks(_ cursor: PieceCursor, at position: Int64) -> (blocks: Range<Int64>, part: Range<Int64>) {
        let end = min(position + Int64(cursor.bytesLeft), size)
        let around = blocks(around: position..<end)
        let blocks = around.lowerBound..<min(around.upperBound, around.lowerBound + Int64(stagedBlocks))
        return (blocks, position..<min(end, blocks.upperBound))
    }

    /// - Returns: How many bytes were read.
    private func readStaged(_ cursor: inout PieceCursor, at position: Int64) throws(AccessError) -> Int64 {
        let (blocks, part) = nextBlocks(cursor, at: position)
        var next = cursor
        try staging.with { (buffer) throws(AccessError) in
            let whole = UnsafeMutableRawBufferPointer(rebasing: buffer[..<blocks.count])
            try read(whole, at: blocks.lowerBound)
            next.take(UnsafeRawBufferPointer(rebasing: whole[part.offsets(from: blocks.lowerBound)]))
        }
        cursor = next
        return Int64(part.count)
    }

    /// - Returns: How many bytes were written.
    private func writeStaged(_ cursor: inout PieceCursor, at position: Int64) throws(AccessError) -> Int64 {
        let (blocks, part) = nextBlocks(cursor, at: position)
        var next = cursor
        try staging.with { (buffer) throws(AccessError) in
            let whole = UnsafeMutableRawBufferPointer(rebasing: buffer[..<blocks.count])
            try mergingIfPart(part, of: blocks) { () throws(AccessError) in
                if part != blocks { try read(whole, at: blocks.lowerBound) }
                next.give(UnsafeMutableRawBufferPointer(rebasing: whole[part.offsets(from: blocks.lowerBound)]))
                try write(UnsafeRawBufferPointer(whole), at: blocks.lowerBound)
            }
        }
        cursor = next
        return Int64(part.count)
    }

    // MARK: - Calls

    /// Reads whole blocks.
    private func read(_ bytes: UnsafeMutableRawBufferPointer, at offset: Int64) throws(AccessError) {
        let range = offset..<offset + Int64(bytes.count)
        assert(isWhole(range), "a layer is read in blocks")
        for part in parts(of: range, maxLength: Int64(properties.maxRequest)) {
            let target = UnsafeMutableRawBufferPointer(rebasing: bytes[part.offsets(from: offset)])
            try pool.perform { context throws(AccessError) in try context.read(into: target, at: part.lowerBound) }
        }
        pool.noteGoodRead(at: offset)
    }

    /// Writes bytes, wherever they begin and end.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(AccessError) {
        let range = offset..<offset + Int64(bytes.count)
        guard isWhole(range) else { return try writeParts(bytes, at: offset) }
        for part in parts(of: range, maxLength: Int64(properties.maxRequest)) {
            let source = UnsafeRawBufferPointer(rebasing: bytes[part.offsets(from: offset)])
            try pool.perform(.change) { context throws(AccessError) in
                try context.write(from: source, at: part.lowerBound)
            }
        }
    }

    // MARK: - Parts of blocks

    /// Writes bytes that begin or end inside a block.
    private func writeParts(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(AccessError) {
        var piece = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
        try withUnsafePointer(to: &piece) { (piece) throws(AccessError) in
            var cursor = PieceCursor(UnsafeBufferPointer(start: piece, count: 1))
            var position = offset
            while !cursor.run.isEmpty { position += try writeStaged(&cursor, at: position) }
        }
    }

    /// One write of parts of blocks at a time. Writes of whole blocks share none with it.
    private func mergingIfPart(
        _ part: Range<Int64>, of blocks: Range<Int64>, _ body: () throws(AccessError) -> Void
    ) throws(AccessError) {
        guard part != blocks else { return try body() }
        isMerging.wait { isMerging -> Monitored<Bool>.Wish<Void> in
            guard !isMerging else { return .later(nil) }
            isMerging = true
            return .done(())
        }
        defer { isMerging.change { $0 = false } }
        try body()
    }

    // MARK: - Arithmetic

    private var block: Int64 { Int64(properties.minBlock) }

    /// The whole blocks that fit a staging buffer, bytes.
    private var stagedBlocks: Int { staging.size / properties.minBlock * properties.minBlock }

    /// Whether the range begins and ends where blocks do, or at the end of the image.
    private func isWhole(_ range: Range<Int64>) -> Bool {
        range.lowerBound % block == 0 && (range.upperBound % block == 0 || range.upperBound == size)
    }

    /// The blocks that the range covers, some of them in part.
    func blocks(around range: Range<Int64>) -> Range<Int64> {
        range.lowerBound / block * block..<min((range.upperBound + block - 1) / block * block, size)
    }

    /// The range in parts of at most `maxLength` bytes, which end where the layer likes it.
    func parts(of range: Range<Int64>, maxLength: Int64) -> BlockParts {
        BlockParts(range, maxLength: maxLength, block: Int64(properties.preferredBlock))
    }
}

extension Range<Int64> {
    /// Where the range is in memory that begins at `base`.
    fileprivate func offsets(from base: Int64) -> Range<Int> { Int(lowerBound - base)..<Int(upperBound - base) }
}
