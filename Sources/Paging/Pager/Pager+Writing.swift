import Glibc

/// Writes and flushes.
extension Pager {
    /// Copies `buffer` into the image at `offset`.
    /// - Parameter forced: Return only when the bytes are durable (FUA).
    /// - Throws: EINVAL where the range is not inside the image; EROFS where the image cannot be written; the
    ///   Accessor's error. Part of the bytes may have been written then, and are as good as any others.
    public func write(from buffer: UnsafeRawBufferPointer, at offset: Int64, forced: Bool) throws(AccessError) {
        let range = try checkedForWriting(offset, buffer.count)
        guard let base = buffer.baseAddress else { return }
        let failureCount = forced ? provider.durability.syncFailureCount : 0
        try walkWriting(range) { part, position in
            part.baseAddress!.copyMemory(from: base + position, byteCount: part.count)
        }
        try completeWrite(range, forced: forced, since: failureCount)
    }

    /// Makes durable every write, zero and trim, of any client of this image, that was answered before the call.
    public func flush() throws(AccessError) {
        guard provider.accessor.isWritable else { return }
        try provider.flush()
    }

    /// What an answer promises beyond the write itself.
    /// - Parameter failureCount: What `syncFailureCount` was before any of it was written, if it is forced: somebody
    ///   else may have begun to write it out at once, and a sync may have failed since.
    func completeWrite(_ range: Range<Int64>, forced: Bool, since failureCount: UInt64) throws(AccessError) {
        guard forced || isWriteThrough, !range.isEmpty else { return }
        try provider.mapper.writeOut(BasePage.numbers(covering: range))
        if forced { try provider.durability.sync(since: failureCount) }
    }

    /// Calls `body` with the memory of each part of `range` while it is lent for writing, and its position in the
    /// range.
    func walkWriting(
        _ range: Range<Int64>, _ body: (UnsafeMutableRawBufferPointer, Int) -> Void
    ) throws(AccessError) {
        var progress = PageMapper.RequestProgress()
        var offset = range.lowerBound
        while offset < range.upperBound {
            let loan = try provider.mapper.lendForWriting(offset..<range.upperBound, &progress)
            let position = Int(offset &- range.lowerBound)
            loan.forEachPart { part, partPosition in body(part, position &+ partPosition) }
            offset = loan.range.upperBound
        }
    }

    func checkedForWriting(_ offset: Int64, _ count: Int) throws(AccessError) -> Range<Int64> {
        guard provider.accessor.isWritable else { throw AccessError(EROFS) }
        return try checked(offset, count)
    }
}
