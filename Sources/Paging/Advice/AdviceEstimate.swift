/// Estimates the misses with other amounts of memory, from what the Miniatures have counted and what the memory that
/// there is has really done.
///
/// - **The error is known at one point.** The miniature of the present memory should have missed what really was
///   missed. It has not quite: pages of the sample are used more or less than others, and a queue in miniature is
///   coarser. So its misses are corrected by a factor. Miniatures of nearly the same size have nearly the same error:
///   each doubling or halving takes the square root of the factor. (SHARDS-adj, of the SHARDS paper, corrects by the
///   expected number of samples alone. The real number of reads does that here.)
/// - **What is lost may be read ahead.** A page that was resident, and is missing in a smaller miniature, would partly
///   have been read ahead again. Of what is not resident, the present memory's miniature knows which share is found by
///   reading ahead. A page that was used before has half of that share, because pages that are used again lie less
///   often in streams. A page that had been read ahead and not been used yet lies in a stream. The miniature has
///   recycled it too early, because windows of the present memory are too large for it. A smaller memory has smaller
///   windows, and would miss an eighth of such pages.
/// - **More memory seldom misses more.** If an estimate says so, that is noise. It becomes that of its neighbour on the
///   side of the present memory.
///
/// The square root, the half and the eighth were chosen by measurement (Sources/flexpage/README.md).
struct AdviceEstimate {
    /// What each miniature has counted, in the order of `MiniatureSize.all`.
    var counts: [MiniatureCounts]
    /// Base pages for each one sampled.
    var weight: Int
    /// Base pages that were read, and that were missed.
    var reads: UInt64
    var misses: UInt64
    /// Whether less memory than the present one was in use, so that `misses` are not those of all of it.
    var isLimited = false

    /// The number of sampled misses from which on the factor is trusted.
    private static let minMisses = 16.0

    /// The base pages that each amount of memory would have missed. What the present one has missed is known.
    var estimates: [Double] {
        var estimates = counts.indices.map(corrected)
        let present = MiniatureSize.present
        if isFactorKnown { estimates[present] = Double(misses) }
        for index in counts.indices.dropFirst(present + 1) {
            estimates[index] = min(estimates[index], estimates[index - 1])
        }
        for index in (0..<present).reversed() { estimates[index] = max(estimates[index], estimates[index + 1]) }
        return estimates
    }

    private func corrected(_ index: Int) -> Double {
        let distance = abs(MiniatureSize.all[index].doublings)
        let faded = (0..<distance).reduce(factor) { factor, _ in factor.squareRoot() }
        return min(simulated(index) * faded, Double(reads))
    }

    /// By how much the miniature of the present memory is wrong.
    private var factor: Double { isFactorKnown ? Double(misses) / simulated(MiniatureSize.present) : 1 }

    private var isFactorKnown: Bool {
        !isLimited && simulated(MiniatureSize.present) >= AdviceEstimate.minMisses * Double(weight)
    }

    /// The part of what was read ahead and is lost in a smaller miniature that a smaller memory would miss.
    private static let lostAhead = 0.125

    /// The base pages that a memory of this size would have missed, as far as its miniature tells.
    private func simulated(_ index: Int) -> Double {
        let count = counts[index]
        let lost = Double(count.lost) * (1 - shareAhead / 2) + Double(count.lostAhead) * AdviceEstimate.lostAhead
        return (Double(count.missed) + lost) * Double(weight)
    }

    /// The share of what is not resident that reading ahead finds in time.
    private var shareAhead: Double {
        let present = counts[MiniatureSize.present]
        let notResident = Double(present.foundAhead + present.missed)
        return notResident == 0 ? 0 : Double(present.foundAhead) / notResident
    }
}
