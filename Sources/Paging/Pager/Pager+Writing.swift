import Glibc

/// Writes, flushes, zeroes and trims.
extension Pager {
    /// Copies `buffer` into the image at `offset`.
    /// - Parameter forced: Return only when the bytes are durable (FUA).
    /// - Throws: EINVAL where the range is not inside the image; EROFS where the image cannot be written; the
    ///   Accessor's error. Part of the bytes may have been written then, and are as good as any others.
    public func write(from buffer: UnsafeRawBufferPointer, at offset: Int64, forced: Bool) throws(AccessError) {
        let range = try checkedForWriting(offset, buffer.count)
        guard let base = buffer.baseAddress else { return }
        let failureCount = forced ? provider.syncFailureCount : 0
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

    /// Makes `range` read as zeroes.
    /// - Parameter mayTrim: Whether its space in the image may be given up.
    /// - Parameter onlyIfFast: Throw EOPNOTSUPP, having changed nothing, where that would mean to write zeroes out.
    /// - Parameter forced: Return only when that is durable (FUA).
    /// - Throws: As `write`; nothing but a beginning and an end less than a base page may have changed then.
    public func zero(
        _ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool, forced: Bool
    ) throws(AccessError) {
        let range = try checkedForWriting(range.lowerBound, range.count)
        guard !range.isEmpty else { return }
        let failureCount = forced ? provider.syncFailureCount : 0
        let inner = wholePages(of: range)
        if !inner.isEmpty {
            let bytes = byteRange(of: inner)
            try provider.mapper.replace(inner) { () throws(AccessError) in
                LockRank.assertNoneHeld()
                try provider.accessor.zero(bytes, mayTrim: mayTrim, onlyIfFast: onlyIfFast)
            }
            // The edges are written like anything else; what lies between them has reached the image.
            let edges = (range.lowerBound..<bytes.lowerBound, bytes.upperBound..<range.upperBound)
            try zeroInPlace(edges.0)
            try zeroInPlace(edges.1)
            try completeWrite(edges.0, forced: forced, since: failureCount)
            try completeWrite(edges.1, forced: forced, since: failureCount)
            if forced { try provider.sync() }
        } else {
            try zeroInPlace(range)
            try completeWrite(range, forced: forced, since: failureCount)
        }
    }

    /// Lets the image forget `range`, which then reads as zeroes; base pages that lie in it only in part stay as they
    /// are.
    /// - Parameter forced: Return only when that is durable (FUA).
    /// - Throws: As `write`; EOPNOTSUPP where the image cannot. Nothing has changed then.
    public func trim(_ range: Range<Int64>, forced: Bool) throws(AccessError) {
        let range = try checkedForWriting(range.lowerBound, range.count)
        let inner = range.isEmpty ? 0..<0 : wholePages(of: range)
        guard !inner.isEmpty else { return }
        try provider.mapper.replace(inner) { () throws(AccessError) in
            LockRank.assertNoneHeld()
            try provider.accessor.trim(byteRange(of: inner))
        }
        if forced { try provider.sync() }
    }

    /// What an answer promises beyond the write itself.
    /// - Parameter failureCount: What `syncFailureCount` was before any of it was written, if it is forced: somebody
    ///   else may have begun to write it out at once, and a sync may have failed since.
    private func completeWrite(_ range: Range<Int64>, forced: Bool, since failureCount: UInt64) throws(AccessError) {
        guard forced || isWriteThrough, !range.isEmpty else { return }
        try provider.mapper.writeOut(BasePage.numbers(covering: range))
        if forced { try provider.sync(since: failureCount) }
    }

    private func zeroInPlace(_ range: Range<Int64>) throws(AccessError) {
        try walkWriting(range) { part, _ in memset(part.baseAddress!, 0, part.count) }
    }

    /// Calls `body` with the memory of each part of `range` while it is lent for writing, and its position in the
    /// range.
    private func walkWriting(
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

    /// The base pages that lie wholly in `range`; the image's last one does if all of it that there is does.
    private func wholePages(of range: Range<Int64>) -> Range<UInt64> {
        let touched = BasePage.numbers(covering: range)
        let startsWhole = range.lowerBound == BasePage.offset(of: touched.lowerBound)
        let endsWhole =
            range.upperBound == BasePage.offset(of: touched.upperBound) || range.upperBound == provider.size
        let first = startsWhole ? touched.lowerBound : touched.lowerBound + 1
        let last = endsWhole ? touched.upperBound : touched.upperBound - 1
        return first..<max(first, last)
    }

    private func byteRange(of pages: Range<UInt64>) -> Range<Int64> {
        BasePage.offset(of: pages.lowerBound)..<min(BasePage.offset(of: pages.upperBound), provider.size)
    }

    private func checkedForWriting(_ offset: Int64, _ count: Int) throws(AccessError) -> Range<Int64> {
        guard provider.accessor.isWritable else { throw AccessError(EROFS) }
        return try checked(offset, count)
    }
}
