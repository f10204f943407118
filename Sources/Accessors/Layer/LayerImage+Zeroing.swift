import Glibc
import Paging

/// Zeroes and trims. Each is durable when it returns.
extension LayerImage {
    /// How often what was zeroed is zeroed again, because the layer went away before it was durable.
    private static let attempts = 5
    /// The maximum length of a zero that need not be fast, bytes. Where a plugin turns out to have no means, nbdkit
    /// writes zeroes in its place, and nbdkit 1.32 does that wrongly from 64 MiB on: it writes the first ones again and
    /// again.
    private static let maxZero: Int64 = 64 << 20
    /// The maximum length of any other call without data, bytes: as much as a client can ask for, in whole blocks. A
    /// fast zero that is one call is done as a whole or not at all.
    private static let maxCall: Int64 = (1 << 32) - (1 << 16)

    public func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {
        try check(range)
        try durably { () throws(AccessError) in
            let done = try zeroBelow(range, mayTrim: mayTrim, onlyIfFast: onlyIfFast)
            guard !done.isEmpty || range.isEmpty || !onlyIfFast else { throw AccessError(EOPNOTSUPP) }
            try writeZeroes(range.lowerBound..<done.lowerBound)
            try writeZeroes(done.upperBound..<range.upperBound)
        }
    }

    /// A fast zero that may trim says what can be read afterwards, so a layer that has it gets that. A zero that is not
    /// fast may be written, so no layer gets that. What is not a whole block is zeroed: the pager drops its dirty
    /// pages, and what they replaced must not come back.
    public func trim(_ range: Range<Int64>) throws(AccessError) {
        guard properties.canTrim, !isTrimZeroing else {
            return try zero(range, mayTrim: true, onlyIfFast: true)
        }
        try check(range)
        try durably { () throws(AccessError) in
            let done = try below(range, maxLength: LayerImage.maxCall) { context, part throws(AccessError) in
                try context.trim(part)
            }
            guard !done.isEmpty || range.isEmpty else { throw AccessError(EOPNOTSUPP) }
            try writeZeroes(range.lowerBound..<done.lowerBound)
            try writeZeroes(done.upperBound..<range.upperBound)
        }
    }

    public var isTrimZeroing: Bool { properties.canZeroFast || !properties.canTrim }

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
        guard properties.canZero, !onlyIfFast || properties.canZeroFast else {
            return range.lowerBound..<range.lowerBound
        }
        let maxLength = onlyIfFast ? LayerImage.maxCall : LayerImage.maxZero
        return try below(range, maxLength: maxLength) { context, part throws(AccessError) in
            try context.zero(part, mayTrim: mayTrim, onlyIfFast: onlyIfFast)
        }
    }

    /// Changes whole blocks, part by part, until the layer turns out to have no means.
    /// - Returns: What is changed now. It begins where the whole blocks do.
    private func below(
        _ range: Range<Int64>, maxLength: Int64,
        _ change: (any LayerContext, Range<Int64>) throws(AccessError) -> Void
    ) throws(AccessError) -> Range<Int64> {
        let whole = range.wholeBlocks(of: Int64(properties.minBlock), ofImage: size)
        var end = whole.lowerBound
        do throws(AccessError) {
            for part in parts(of: whole, maxLength: maxLength) {
                try pool.perform(.change) { context throws(AccessError) in try change(context, part) }
                end = part.upperBound
            }
        } catch {
            // A layer that cannot say EOPNOTSUPP says EIO. If it was there afterwards, it can be written to.
            guard error.code == EOPNOTSUPP || (error.code == EIO && !pool.isAway && !pool.isOver) else { throw error }
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
