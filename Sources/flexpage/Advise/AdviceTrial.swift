import Paging

/// Advice that a trace gives, with the server's own code, and what simulations of the other amounts of memory say.
struct AdviceTrial {
    let trace: Trace
    /// Bytes for pages alone, as in other simulations. What advice takes comes on top, so that both have equal frames.
    let memory: Int
    let way: PagingWay
    var writes = false

    /// - Throws: If that much memory cannot be had.
    func advice() throws -> AdviceFigures {
        var simulation = Simulation(memory: memory, way: way, writes: writes)
        simulation.advice = Pages.adviceBytes(memory: memory)
        guard simulation.advice > 0, let advice = try simulation.runAdvised([trace]).advice else {
            let least = MemorySize(bytes: Pages.minMemoryForAdvice).text
            throw ToolFailure("\(MemorySize(bytes: memory).text) is too little for advice; expected at least \(least)")
        }
        // The points are multiples of the memory with its tables. Here the one without is the measure.
        let present = advice.points[advice.presentIndex].memory
        var scaled = advice
        for index in scaled.points.indices {
            scaled.points[index].memory = Int(
                (Double(scaled.points[index].memory) / Double(present) * Double(memory)).rounded())
        }
        return AdviceFigures(
            memoryBytes: UInt64(memory), droppedSamples: 0, all: AdviceFigures.Curve(name: nil, scaled),
            images: [])
    }

    /// By how much the hit ratios of `figures` differ from those of simulations, for each amount of memory.
    func errors(of figures: AdviceFigures) throws -> [Double] {
        try figures.all.points.map { point in
            let simulated = try Simulation(memory: Int(point.memoryBytes), way: way, writes: writes).run(trace)
            return abs(figures.all.hitRatio(point) - (1 - simulated.missRatio))
        }
    }
}
