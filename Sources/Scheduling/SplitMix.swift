/// A generator of random numbers that depend only on the seed (splitmix64, by Vigna).
struct SplitMix {
    private var state: UInt64

    init(seed: UInt64) { state = SplitMix.mix(seed &+ 0x9E37_79B9_7F4A_7C15) }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return SplitMix.mix(state)
    }

    /// A number below `limit`. `limit` is not 0.
    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }

    /// A well-mixed function of `x`.
    static func mix(_ x: UInt64) -> UInt64 {
        var x = x
        x = (x ^ x &>> 30) &* 0xBF58_476D_1CE4_E5B9
        x = (x ^ x &>> 27) &* 0x94D0_49BB_1331_11EB
        return x ^ x &>> 31
    }
}
