import Testing

@testable import Paging

/// The windows in which a volume's reads are counted.
@Suite struct VolumeWindowTests {
    /// A window ends with the first read after a quarter of a second, and the next one begins there.
    @Test func windowsFollowOneAnother() {
        let volume = VolumeWindow()
        defer { volume.destroy() }
        for _ in 0..<5 { volume.begin(now: 900_000) }
        #expect(volume.end(9, isGood: true, now: 1_000_000) == nil, "here the first one begins")
        #expect(volume.end(2, isGood: true, now: 1_100_000) == nil)
        #expect(volume.end(4, isGood: true, now: 1_250_000) == .init(reads: 2, pages: 6, microseconds: 250_000))
        #expect(volume.end(3, isGood: true, now: 1_600_000) == .init(reads: 1, pages: 3, microseconds: 350_000))
    }

    /// A window's reads count if no read was under way for up to an eighth of it.
    @Test(arguments: [(pause: 30_000, counts: true), (pause: 40_000, counts: false)] as [(UInt64, Bool)])
    func pausesAreTolerated(pause: UInt64, counts: Bool) {
        let volume = VolumeWindow()
        defer { volume.destroy() }
        volume.begin(now: 900_000)
        #expect(volume.end(1, isGood: true, now: 1_000_000) == nil, "here the first one begins")
        volume.begin(now: 1_000_000 + pause)
        volume.begin(now: 1_100_000)
        #expect(volume.end(5, isGood: true, now: 1_249_999) == nil)
        let count = volume.end(7, isGood: true, now: 1_250_000)
        #expect(count == .init(reads: counts ? 2 : 0, pages: counts ? 12 : 0, microseconds: 250_000))
        volume.begin(now: 1_250_010)
        #expect(volume.end(3, isGood: true, now: 1_500_000) == .init(reads: 1, pages: 3, microseconds: 250_000))
    }

    /// A window in which a read has failed is dropped.
    @Test func aFailedReadEndsTheWindow() {
        let volume = VolumeWindow()
        defer { volume.destroy() }
        for _ in 0..<4 { volume.begin(now: 900_000) }
        #expect(volume.end(1, isGood: true, now: 1_000_000) == nil)
        #expect(volume.end(1, isGood: false, now: 1_100_000) == nil)
        #expect(volume.end(1, isGood: true, now: 1_300_000) == nil, "here a new one begins")
        #expect(volume.end(5, isGood: true, now: 1_550_000) == .init(reads: 1, pages: 5, microseconds: 250_000))
    }
}
