/// What a Miniature simulates: the present memory, doubled or halved some times, and how much coarser than the finest
/// sample it is. A larger memory needs a smaller part of the samples for the same number of frames.
struct MiniatureSize: Sendable {
    /// How many times the present memory is doubled; negative if it is halved.
    let doublings: Int
    /// It takes one sampled page in 2ⁿ.
    let coarseness: UInt64

    /// From a quarter to eight times the present memory, in ascending order.
    static let all = [
        MiniatureSize(doublings: -2, coarseness: 0), MiniatureSize(doublings: -1, coarseness: 0),
        MiniatureSize(doublings: 0, coarseness: 0), MiniatureSize(doublings: 1, coarseness: 0),
        MiniatureSize(doublings: 2, coarseness: 1), MiniatureSize(doublings: 3, coarseness: 2),
    ]

    /// The index in `all` of the present memory.
    static let present = 2

    /// `amount` of the present memory, of this one.
    func scaled(_ amount: Int) -> Int { doublings < 0 ? amount >> -doublings : amount << doublings }
}
