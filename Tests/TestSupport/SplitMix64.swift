/// A generator of random numbers that gives the same numbers for the same seed (splitmix64, by Vigna).
package struct SplitMix64: RandomNumberGenerator {
    @usableFromInline var state: UInt64

    /// - Parameter stream: Distinguishes the generators of one seed, such as those of its threads.
    @inlinable
    package init(seed: UInt64, stream: UInt64 = 0) {
        state = seed &* 0xD1B5_4A32_D192_ED03 ^ (stream &+ 1) &* 0x8CB9_2BA7_2F3D_8DD7
        _ = next()
    }

    @inlinable
    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return SplitMix64.mix(state)
    }

    /// A well-mixed function of `x`.
    @inlinable
    package static func mix(_ x: UInt64) -> UInt64 {
        var x = x
        x = (x ^ x &>> 30) &* 0xBF58_476D_1CE4_E5B9
        x = (x ^ x &>> 27) &* 0x94D0_49BB_1331_11EB
        return x ^ x &>> 31
    }

    /// True once in `times` times; never if that is 0.
    @inlinable
    package mutating func once(in times: Int) -> Bool { times > 0 && next() % UInt64(times) == 0 }

    /// A number of `range`, all equally likely.
    @inlinable
    package mutating func pick(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(next() % UInt64(range.count))
    }

    /// A number from 1 to `maximum`; small ones and powers of two are likelier than others.
    @inlinable
    package mutating func length(upTo maximum: Int) -> Int {
        let bits = Int.bitWidth - maximum.leadingZeroBitCount
        let top = 1 << pick(0...bits)
        let length = once(in: 2) ? top : pick(1...top)
        return min(length, maximum)
    }

    /// An offset below `limit`, which is not 0.
    @inlinable
    package mutating func place(below limit: Int64) -> Int64 { Int64(next() % UInt64(limit)) }
}
