/// Estimates the misses with other amounts of memory, from what the Miniatures have counted and what the memory that
/// there is has really done.
///
/// Two corrections make the error smaller:
///
/// - The miniature of the present memory should have missed what really was missed. It has not quite: pages of the
///   sample are used more or less than others, and a queue in miniature is coarser. The other miniatures have nearly the
///   same error, so their misses are corrected by the same factor. (SHARDS-adj corrects the number of samples alone.)
/// - A page that was resident and is missing in a smaller miniature would partly have been read ahead again. The share
///   that reading ahead finds of what is not resident is taken from the present memory's miniature.
struct AdviceEstimate {
    /// What each miniature has counted, in the order of `MiniatureSize.all`.
    var counts: [MiniatureCounts]
    /// Base pages for each one sampled, in the same order.
    var weights: [Int]
    /// Base pages that were read, and that were missed.
    var reads: UInt64
    var misses: UInt64

    /// The number of samples from which on the present miniature is trusted to be corrected by.
    private static let minMisses = 16.0

    /// The base pages that each amount of memory would have missed.
    var estimates: [Double] {
        let raw = counts.indices.map { simulated($0) * Double(weights[$0]) }
        let present = raw[MiniatureSize.present]
        let isTrusted = present >= AdviceEstimate.minMisses * Double(weights[MiniatureSize.present])
        let factor = isTrusted ? Double(misses) / present : 1
        return raw.map { min($0 * factor, Double(reads)) }
    }

    /// The share of what is not resident that reading ahead finds in time.
    private var shareAhead: Double {
        let present = counts[MiniatureSize.present]
        let notResident = Double(present.foundAhead + present.missed)
        return notResident == 0 ? 0 : Double(present.foundAhead) / notResident
    }

    private func simulated(_ index: Int) -> Double {
        Double(counts[index].missed) + Double(counts[index].lost) * (1 - shareAhead)
    }
}
