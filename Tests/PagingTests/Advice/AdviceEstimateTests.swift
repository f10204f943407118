import Testing

@testable import Paging

/// The arithmetic of an estimate.
@Suite struct AdviceEstimateTests {
    private func estimate(
        _ missed: [UInt64], lost: [UInt64] = [0, 0, 0, 0, 0, 0], lostAhead: [UInt64] = [0, 0, 0, 0, 0, 0],
        foundAhead: UInt64 = 0, reads: UInt64 = 100_000, misses: UInt64
    ) -> [Double] {
        var counts = missed.indices.map {
            MiniatureCounts(missed: missed[$0], lost: lost[$0], lostAhead: lostAhead[$0])
        }
        counts[MiniatureSize.present].foundAhead = foundAhead
        return AdviceEstimate(counts: counts, weight: 32, reads: reads, misses: misses).estimates
    }

    /// A miniature that is right is taken at its word.
    @Test func withoutError() {
        #expect(
            estimate([900, 800, 500, 400, 100, 0], misses: 16_000) == [28_800, 25_600, 16_000, 12_800, 3200, 0])
    }

    /// The present one's error is corrected there, and less and less with each doubling or halving.
    @Test func theFactorFades() {
        let found = estimate([500, 500, 500, 500, 500, 500], reads: 1_000_000, misses: 16_000 * 16)
        #expect(found == [256_000, 256_000, 256_000, 64_000, 32_000, 16_000 * 2.0.squareRoot()])
    }

    /// With few misses, the factor would be noise.
    @Test func fewMissesGiveNoFactor() {
        #expect(estimate([15, 15, 15, 15, 3, 0], misses: 16) == [480, 480, 480, 480, 96, 0])
    }

    /// What is lost may be read ahead: with a share of a half, an eighth of what was read ahead and three quarters of
    /// the rest are missed.
    @Test func lostPagesMayBeReadAhead() {
        let found = estimate(
            [100, 100, 100, 100, 100, 100], lost: [80, 0, 0, 0, 0, 0], lostAhead: [40, 40, 0, 0, 0, 0], foundAhead: 100,
            misses: 3200)
        #expect(found == [Double(100 + 60 + 5) * 32, Double(100 + 5) * 32, 3200, 3200, 3200, 3200])
    }

    /// More memory never misses more, less never less, and nothing misses more than was read.
    @Test func theCurveFalls() {
        let found = estimate([90, 110, 100, 120, 80, 90], misses: 3200)
        #expect(found == [3520, 3520, 3200, 3200, 2560, 2560])
        #expect(estimate([9000, 300, 100, 100, 100, 100], reads: 5000, misses: 3200)[0] == 5000)
    }

    /// Nothing read: nothing missed.
    @Test func nothing() {
        #expect(estimate([0, 0, 0, 0, 0, 0], reads: 0, misses: 0) == [0, 0, 0, 0, 0, 0])
    }
}
