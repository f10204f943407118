import TestSupport

/// Which base pages of an image are zeroes, and which of those it reports as holes, drawn anew for each run of base
/// pages.
struct Zeroes {
    /// Base pages in a run.
    var run: UInt64 = 1
    /// Of eight runs, the number that are holes; and the number that are zeroes but reported as data.
    var holes = 0
    var untold = 0
    var seed: UInt64 = 0

    static let none = Zeroes()
    /// Nothing but a hole.
    static let hole = Zeroes(holes: 8)
    /// Nothing but zeroes, which the image reports as data.
    static let untold = Zeroes(untold: 8)

    private func draw(_ page: UInt64) -> Int { Int(SplitMix64.mix(page / run &+ seed) & 7) }

    func isHole(_ page: UInt64) -> Bool { holes > 0 && draw(page) < holes }
    func isZero(_ page: UInt64) -> Bool { holes + untold > 0 && draw(page) < holes + untold }

    /// Any shares, from none to all.
    static func random(_ random: inout SplitMix64) -> Zeroes {
        guard !random.once(in: 4) else { return .none }
        return Zeroes(
            run: [1, 2, 7, 40, 256, 1000][random.pick(0...5)], holes: random.pick(0...5), untold: random.pick(0...3),
            seed: random.next())
    }
}
