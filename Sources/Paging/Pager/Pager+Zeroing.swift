import Glibc

/// Zeroes and trims.
extension Pager {
    /// Makes `range` read as zeroes.
    /// - Parameter mayTrim: Whether the image may give up the space of it.
    /// - Parameter onlyIfFast: If the image would have to write zeroes, change nothing and throw EOPNOTSUPP.
    /// - Parameter forced: Return only when that is durable (FUA).
    /// - Throws: As `write`. At most a beginning and an end, each less than a base page, may have changed then.
    public func zero(
        _ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool, forced: Bool
    ) throws(AccessError) {
        try checkForWriting(range)
        guard !range.isEmpty else { return }
        let failureCount = forced ? provider.durability.syncFailureCount : 0
        let inner = range.wholePages(ofImage: provider.size)
        if !inner.isEmpty {
            let bytes = inner.bytes(ofImage: provider.size)
            try provider.mapper.replace(inner) { () throws(AccessError) in
                LockRank.assertNoneHeld()
                try provider.countingCall { () throws(AccessError) in
                    try provider.accessor.zero(bytes, mayTrim: mayTrim, onlyIfFast: onlyIfFast)
                }
            }
            // The edges are written like any other bytes. What lies between them has reached the image.
            let edges = (range.lowerBound..<bytes.lowerBound, bytes.upperBound..<range.upperBound)
            try zeroInPlace(edges.0)
            try zeroInPlace(edges.1)
            try completeWrite(edges.0, forced: forced, since: failureCount)
            try completeWrite(edges.1, forced: forced, since: failureCount)
            if forced { try sync() }
        } else {
            try zeroInPlace(range)
            try completeWrite(range, forced: forced, since: failureCount)
        }
    }

    /// Lets the image forget `range`, which then reads as whatever the image has there: zeroes, if it is one that says
    /// so. Base pages of which only a part lies in it stay as they are.
    /// - Parameter forced: Return only when that is durable (FUA).
    /// - Throws: As `write`; EOPNOTSUPP if the image cannot do it. Nothing has changed then.
    public func trim(_ range: Range<Int64>, forced: Bool) throws(AccessError) {
        try checkForWriting(range)
        let inner = range.wholePages(ofImage: provider.size)
        guard !inner.isEmpty else { return }
        try provider.mapper.replace(inner, isZeroed: provider.accessor.isTrimZeroing) { () throws(AccessError) in
            LockRank.assertNoneHeld()
            try provider.countingCall { () throws(AccessError) in
                try provider.accessor.trim(inner.bytes(ofImage: provider.size))
            }
        }
        if forced { try sync() }
    }

    private func zeroInPlace(_ range: Range<Int64>) throws(AccessError) {
        try walkWriting(range, from: nil)
    }
}
