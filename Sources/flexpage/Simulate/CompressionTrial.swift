import Paging

/// Simulates memories of which a share keeps compressed what the pager has recycled.
struct CompressionTrial {
    let content: ImageContent
    let costs: CompressionCosts
    let admission: TierAdmission

    /// - Throws: Why the content cannot be used.
    init(image: String, admission: TierAdmission) throws(ToolFailure) {
        self.admission = admission
        content = try ImageContent(path: image)
        costs = try CompressionCosts(measuring: content)
    }

    init(content: ImageContent, costs: CompressionCosts, admission: TierAdmission = .all) {
        self.admission = admission
        self.content = content
        self.costs = costs
    }

    /// Runs a trace. The pager has what `share` per cent of the memory leave it.
    /// - Parameter simulation: With all of the memory.
    /// - Throws: Also why the content cannot be read.
    func run(_ trace: Trace, _ simulation: Simulation, share: Int) throws -> CompressionFigures {
        let bytes = simulation.memory / 100 * share
        let tier = bytes > 0 ? CompressedTier(bytes: bytes, content: content, admission: admission) : nil
        let part = simulation.leaving(bytes, to: tier, content)
        let figures = try part.run(trace)
        if let failure = content.failure { throw failure }
        return CompressionFigures(
            memory: simulation.memory, share: share, figures: figures, work: tier?.work ?? TierWork(),
            pages: tier?.count ?? 0, costs: costs)
    }
}
