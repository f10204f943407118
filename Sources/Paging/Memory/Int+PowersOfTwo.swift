extension Int {
    /// The binary logarithm of it, which is at least 1, rounded down.
    var log2: Int { Int.bitWidth - 1 - leadingZeroBitCount }

    /// The least power of two that is not less than it, which is at least 1.
    var roundedUpToPowerOfTwo: Int { 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount) }
}
