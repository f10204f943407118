import Glibc

/// Writes and flushes.
extension Pager {
    /// Copies `buffer` into the image at `offset`.
    /// - Parameter forced: Return only when the bytes are durable (FUA).
    /// - Throws: EINVAL if the range is not inside the image; EROFS if the image cannot be written; the Accessor's
    ///   error. Part of the bytes may have been written then, and count like any others.
    public func write(from buffer: UnsafeRawBufferPointer, at offset: Int64, forced: Bool) throws(AccessError) {
        try checkForWriting(offset, buffer.count)
        guard let base = buffer.baseAddress else { return }
        let range = offset..<offset &+ Int64(buffer.count)
        let failureCount = forced ? provider.durability.syncFailureCount : 0
        try walkWriting(range, from: base)
        try completeWrite(range, forced: forced, since: failureCount)
    }

    /// Makes durable every write, zero and trim that was answered before the call, of any client of this image.
    public func flush() throws(AccessError) {
        guard provider.accessor.isWritable else { return }
        try provider.flush()
    }

    /// Does what an answer promises beyond the write itself.
    /// - Parameter failureCount: What `syncFailureCount` was before any of it was written, if it is forced. Another
    ///   thread may have begun to write it out at once, and a sync may have failed since.
    func completeWrite(_ range: Range<Int64>, forced: Bool, since failureCount: UInt64) throws(AccessError) {
        guard forced || isWriteThrough, !range.isEmpty else { return }
        try orFlush { () throws(AccessError) in try provider.mapper.writeOut(BasePage.numbers(covering: range)) }
        if forced { try sync(since: failureCount) }
    }

    /// Makes durable what has reached the image.
    /// - Parameter failureCount: See `completeWrite`.
    func sync(since failureCount: UInt64? = nil) throws(AccessError) {
        try orFlush { () throws(AccessError) in try provider.durability.sync(since: failureCount) }
    }

    /// Does what a failed sync makes fail. If the sync failed because the image was reached anew, a flush takes its
    /// place: that writes again what may have been forgotten.
    private func orFlush(_ step: () throws(AccessError) -> Void) throws(AccessError) {
        do throws(AccessError) {
            try step()
        } catch {
            guard error.code == ESTALE, provider.durability.lost == nil else { throw error }
            try provider.flush()
        }
    }

    /// Copies `source`, or zeroes if there is none, to each part of `range` while it is lent for writing.
    func walkWriting(_ range: Range<Int64>, from source: UnsafeRawPointer?) throws(AccessError) {
        var progress = PageMapper.RequestProgress()
        var offset = range.lowerBound
        while offset < range.upperBound {
            let position = Int(offset &- range.lowerBound)
            let loan = try provider.mapper.lendForWriting(
                offset..<range.upperBound, of: source.map { $0 + position }, &progress)
            loan.forEachPart { part, partPosition in
                provider.mapper.context.table.write(
                    part, from: source.map { $0 + (position &+ partPosition) }, image: provider.image,
                    at: offset &+ Int64(partPosition))
            }
            offset = loan.range.upperBound
        }
    }

    func checkForWriting(_ offset: Int64, _ count: Int) throws(AccessError) {
        guard provider.accessor.isWritable else { throw AccessError(EROFS) }
        try check(offset, count)
    }

    func checkForWriting(_ range: Range<Int64>) throws(AccessError) {
        try checkForWriting(range.lowerBound, range.count)
    }
}
