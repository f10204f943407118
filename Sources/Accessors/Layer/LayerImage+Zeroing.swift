import Glibc
import Paging

/// Zeroes and trims. Each is durable when it returns.
extension LayerImage {
    /// How often what was zeroed is zeroed again, because the layer went away before it was durable.
    private static let attempts = 5
    /// The maximum length of one zero, bytes. Where a plugin turns out to have no means, nbdkit writes zeroes in its
    /// place, and nbdkit 1.32 does that wrongly from 64 MiB on: it writes the first ones again and again.
    private static let maxZero: Int64 = 64 << 20

    public func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {
        try zero(range, mayTrim: mayTrim, onlyIfFast: onlyIfFast, byWriting: !onlyIfFast)
    }

    /// NBD's trim does not say what can be read afterwards. A zero that may trim does, so that is what the layer gets.
    public func trim(_ range: Range<Int64>) throws(AccessError) {
        try zero(range, mayTrim: true, onlyIfFast: properties.canZeroFast, byWriting: false)
    }

    /// - Parameter byWriting: Whether zeroes are written if the layer has no means of its own.
    private func zero(
        _ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool, byWriting: Bool
    ) throws(AccessError) {
        try check(range)
        try durably { () throws(AccessError) in
            let done = try zeroBelow(range, mayTrim: mayTrim, onlyIfFast: onlyIfFast)
            guard !done.isEmpty || range.isEmpty || byWriting else { throw AccessError(EOPNOTSUPP) }
            try writeZeroes(range.lowerBound..<done.lowerBound)
            try writeZeroes(done.upperBound..<range.upperBound)
        }
    }

    private func check(_ range: Range<Int64>) throws(AccessError) {
        guard isWritable else { throw AccessError(EROFS) }
        guard range.lowerBound >= 0, range.upperBound <= size else { throw AccessError(EINVAL) }
    }

    /// Changes something and flushes that, again if the layer has been opened anew meanwhile.
    private func durably(_ change: () throws(AccessError) -> Void) throws(AccessError) {
        for _ in 0..<LayerImage.attempts {
            let losses = pool.losses
            try change()
            try pool.flushContexts()
            if pool.losses == losses { return }
        }
        throw AccessError(EIO)
    }

    /// Zeroes whole blocks by the layer's own means.
    /// - Returns: What is zeroed now. It begins where the whole blocks do; empty if the layer has no means.
    private func zeroBelow(
        _ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool
    ) throws(AccessError) -> Range<Int64> {
        let whole = range.wholeBlocks(of: Int64(properties.minBlock), ofImage: size)
        var end = whole.lowerBound
        guard properties.canZero, !onlyIfFast || properties.canZeroFast else { return end..<end }
        do throws(AccessError) {
            for part in parts(of: whole, maxLength: LayerImage.maxZero) {
                try pool.perform(.change) { context throws(AccessError) in
                    try context.zero(part, mayTrim: mayTrim, onlyIfFast: onlyIfFast)
                }
                end = part.upperBound
            }
        } catch {
            // A layer that cannot say EOPNOTSUPP says EIO. If it was there afterwards, it can be written to.
            guard error.code == EOPNOTSUPP || (error.code == EIO && !pool.isAway) else { throw error }
        }
        return whole.lowerBound..<end
    }

    private func writeZeroes(_ range: Range<Int64>) throws(AccessError) {
        for part in parts(of: range, maxLength: Int64(ZeroBytes.count)) {
            try write(
                UnsafeRawBufferPointer(start: zeroes.base, count: part.count),
                at: part.lowerBound)
        }
    }
}
