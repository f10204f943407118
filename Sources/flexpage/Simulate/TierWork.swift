/// What a second tier of memory has done in a simulation, in base pages.
struct TierWork: Equatable {
    /// Compressed, and small enough to be kept.
    var kept = 0
    /// Compressed in vain: they took too much.
    var refused = 0
    /// Brought back for the pager.
    var taken = 0

    /// Seconds of processor time.
    func seconds(_ costs: CompressionCosts) -> Double {
        (Double(kept) * costs.keeping + Double(refused) * costs.refusing + Double(taken) * costs.taking) / 1_000_000
    }
}
