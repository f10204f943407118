/// What a Miniature simulates: the present memory, doubled or halved some times.
struct MiniatureSize: Sendable {
    /// How many times the present memory is doubled; negative if it is halved.
    let doublings: Int

    /// From a quarter to eight times the present memory, in ascending order.
    static let all = (-2...3).map { MiniatureSize(doublings: $0) }

    /// The index in `all` of the present memory.
    static let present = 2

    /// `amount` of the present memory, of this one.
    func scaled(_ amount: Int) -> Int { doublings < 0 ? amount >> -doublings : amount << doublings }
}
