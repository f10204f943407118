import Glibc

/// Zeroes and trims.
extension Pager {
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
        let failureCount = forced ? provider.durability.syncFailureCount : 0
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
            if forced { try provider.durability.sync() }
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
        if forced { try provider.durability.sync() }
    }

    private func zeroInPlace(_ range: Range<Int64>) throws(AccessError) {
        try walkWriting(range) { part, _ in memset(part.baseAddress!, 0, part.count) }
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
}
