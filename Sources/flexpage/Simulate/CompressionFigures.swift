/// The results of one simulation with a second tier: what share of the memory it had, and what that cost and saved.
struct CompressionFigures: Equatable {
    /// All memory, bytes: the pager's and the tier's.
    let memory: Int
    /// The tier's share of it, per cent.
    let share: Int
    /// The pager's, whose reads are those that the tier did not save.
    let figures: Figures
    let work: TierWork
    /// The pages that the tier has at the end.
    let pages: Int
    let costs: CompressionCosts

    /// Processor time of the tier.
    var processorSeconds: Double { work.seconds(costs) }

    /// The time that clients wait for the source and for the tier.
    func seconds(_ source: SimulatedSource) -> Double { source.seconds(figures) + processorSeconds }
}
