import Paging

// What the control socket tells of other amounts of memory. Any thread, between `begin` and `end`.
extension Server {
    /// What other values of memory= would give, in all and for each image. It waits for no disk.
    func advice() throws(ControlError) -> Members {
        let serving = try running()
        guard let all = serving.pages.advice() else {
            throw ControlError(
                "memory=\(settings.memoryText) is too little for advice about it; expected at least "
                    + ByteCount.text(Pages.minMemoryForAdvice))
        }
        let images = serving.openImages.compactMap { served in
            serving.pages.advice(of: served.provider).map { advice in
                JSON.object([("name", .text(served.name))] + Self.members(of: advice))
            }
        }
        return [
            ("memory_bytes", .number(UInt64(settings.memory))),
            ("dropped_samples", .number(serving.pages.droppedSamples)),
            ("all", .object(Self.members(of: all))), ("images", .list(images)),
        ]
    }

    private static func members(of advice: Advice) -> Members {
        let points = advice.points.map { point in
            JSON.object([
                ("memory_bytes", .number(UInt64(point.memory))),
                ("misses", .number(UInt64(point.misses.rounded()))),
            ])
        }
        return [
            ("reads", .number(advice.reads)), ("misses", .number(advice.misses)),
            ("samples", .number(advice.samples)), ("points", .list(points)),
        ]
    }
}
