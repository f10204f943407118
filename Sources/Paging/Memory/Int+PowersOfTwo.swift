extension Int {
    /// The binary logarithm of it, which is at least 1, rounded down.
    var log2: Int {
        assert(self >= 1, "only what is positive has a logarithm")
        return Int.bitWidth - 1 - leadingZeroBitCount
    }

    /// The smallest power of two that is not smaller than it, which is at least 1.
    var roundedUpToPowerOfTwo: Int {
        assert(self >= 1, "a power of two is at least 1")
        return 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount)
    }
}
