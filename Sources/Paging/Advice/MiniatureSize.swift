/// What a Miniature simulates: an amount of memory as a fraction or a multiple of the present one, and how much coarser
/// than the finest sample it is. A larger memory needs fewer samples for the same number of frames.
struct MiniatureSize: Sendable {
    let numerator: Int
    let denominator: Int
    /// It takes one sampled page in 2ⁿ.
    let coarseness: UInt64

    /// From a quarter to eight times the present memory, in ascending order.
    static let all = [
        MiniatureSize(numerator: 1, denominator: 4, coarseness: 0),
        MiniatureSize(numerator: 1, denominator: 2, coarseness: 0),
        MiniatureSize(numerator: 1, denominator: 1, coarseness: 0),
        MiniatureSize(numerator: 2, denominator: 1, coarseness: 0),
        MiniatureSize(numerator: 4, denominator: 1, coarseness: 1),
        MiniatureSize(numerator: 8, denominator: 1, coarseness: 2),
    ]

    /// The index in `all` of the present memory.
    static let present = 2

    /// `amount` of the present memory, of this one.
    func scaled(_ amount: Int) -> Int { amount * numerator / denominator }
}
