import Testing

@testable import Paging

/// How far the read of a miss goes on past what is wanted.
@Suite struct ReadingOnTests {
    /// Where reads limit the volume, it goes on as far as what is resident before it reaches. On other slow volumes it
    /// goes on half as far, and elsewhere not at all.
    @Test func itGoesOnAsFarAsSomebodyHasCome() {
        let on = ReadingOn()
        defer { on.destroy() }
        for limit in [VolumeJudge.Limit.unknown, .bytes] {
            on.limit = limit
            #expect(on.pages(after: 64) == 0)
        }
        on.limit = .either
        #expect(on.pages(after: 0) == 0 && on.pages(after: 10) == 5 && on.pages(after: 64) == 32)
        on.limit = .reads
        #expect(on.pages(after: 0) == 8)
        #expect(on.pages(after: 10) == 10)
        #expect(on.pages(after: 64) == 32)
    }

    /// What is wasted is paid in full. Clients earn it again: an eighth of what they miss.
    @Test func wasteIsPaid() {
        let on = ReadingOn()
        defer { on.destroy() }
        on.limit = .reads
        #expect(on.credit == 128)
        on.wasted(132)
        #expect(on.pages(after: 64) == 0)
        on.missed(48)
        #expect(on.credit == 2 && on.pages(after: 64) == 32)
        on.wasted(100_000)
        #expect(on.credit == -1024, "the debt is limited")
    }

    /// Where reads limit the volume, a page that was of use earns four. So less than a fifth of use stops it, and more
    /// does not.
    @Test(arguments: [(used: 1, stops: true), (used: 2, stops: false)])
    func useEarns(used: Int, stops: Bool) {
        let on = ReadingOn()
        defer { on.destroy() }
        on.limit = .reads
        for _ in 0..<1000 {
            on.used(UInt64(used))
            on.wasted(UInt64(7 - used))
        }
        #expect((on.credit <= 0) == stops)
    }

    /// Where reads do not limit the volume, use earns nothing, and there is a maximum of credit.
    @Test func creditHasAMaximum() {
        let on = ReadingOn()
        defer { on.destroy() }
        on.wasted(100)
        on.used(1000)
        #expect(on.credit == 28)
        on.missed(100_000)
        #expect(on.credit == 128)
    }

    private static func pages(_ pages: Range<Int64>) -> Range<Int64> {
        pages.lowerBound * 4096..<pages.upperBound * 4096
    }

    /// What a client misses takes one read, which goes on past it. What it has gone on for is there then.
    @Test func theReadOfAMissGoesOn() throws {
        let rig = try PartsRig(memory: 16 << 20, readahead: 1 << 20, image: PartsImage())
        _ = try rig.bytes(Self.pages(0..<4))
        rig.provider.mapper.context.readahead.on.limit = .reads
        _ = try rig.bytes(Self.pages(4..<5))
        _ = try rig.bytes(Self.pages(5..<13))
        #expect(rig.image.calls == [.read(Self.pages(0..<4)), .read(Self.pages(4..<13))])
        #expect(rig.pages.counters.misses == 5 && rig.pages.counters.pagesReadAhead == 8)
        try rig.end()
    }

    /// A sector that cannot be read and that nobody wants fails no reader, makes no wide read narrow, and is left alone
    /// from then on.
    @Test func aBadSectorThatNobodyWants() throws {
        let rig = try PartsRig(memory: 16 << 20, readahead: 1 << 20, image: PartsImage())
        _ = try rig.bytes(Self.pages(0..<8))
        rig.provider.mapper.context.readahead.on.limit = .reads
        rig.image.fail(.read(Self.pages(8..<20)))
        #expect(try rig.bytes(Self.pages(8..<12)) == [UInt8](repeating: 0xEE, count: 4 * 4096))
        _ = try rig.bytes(Self.pages(12..<13))
        let reads = ([0..<8, 8..<20, 8..<12, 12..<13] as [Range<Int64>]).map { PartsImage.Call.read(Self.pages($0)) }
        #expect(rig.image.calls == reads)
        try rig.end()
    }

    /// Nothing goes on where a window of reading ahead is no larger than that.
    @Test(arguments: [0, 64 << 10, 256 << 10]) func notWhereWindowsAreSmall(readahead: Int) throws {
        let rig = try PartsRig(memory: 16 << 20, readahead: readahead, image: PartsImage())
        rig.provider.mapper.context.readahead.on.limit = .reads
        _ = try rig.bytes(Self.pages(0..<4))
        _ = try rig.bytes(Self.pages(4..<5))
        #expect(rig.image.calls == [.read(Self.pages(0..<4)), .read(Self.pages(4..<5))])
        try rig.end()
    }
}
