import Paging

/// Advice about an amount of memory: what a server tells on its control socket, or what a simulation of traces finds.
/// The man page of the plugin documents each name.
struct AdviceFigures: Codable, Equatable {
    /// What an amount of memory would give.
    struct Point: Codable, Equatable {
        let memoryBytes: UInt64
        /// Base pages that clients would have read and not found.
        let misses: UInt64
    }

    /// The advice for an image, or for all.
    struct Curve: Codable, Equatable {
        /// The export; nil for all.
        var name: String?
        /// Base pages that clients have read, those of them that were missing, and those that were simulated.
        let reads, misses, samples: UInt64
        /// In ascending order of memory.
        let points: [Point]

        /// The share of the reads that would be found in memory.
        func hitRatio(_ point: Point) -> Double {
            reads == 0 ? 0 : 1 - Double(min(point.misses, reads)) / Double(reads)
        }
    }

    /// The present memory.
    let memoryBytes: UInt64
    let droppedSamples: UInt64
    let all: Curve
    let images: [Curve]
}

extension AdviceFigures.Curve {
    init(name: String? = nil, _ advice: Advice) {
        self.init(
            name: name, reads: advice.reads, misses: advice.misses, samples: advice.samples,
            points: advice.points.map {
                AdviceFigures.Point(memoryBytes: UInt64($0.memory), misses: UInt64($0.misses.rounded()))
            })
    }
}
