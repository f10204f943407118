import Testing

@testable import Paging

/// How far the read of a miss goes on past what is wanted.
@Suite struct ReadingOnTests {
    /// Half as far as what is resident before it reaches, or as far where reads limit the volume.
    @Test func itGoesOnAsFarAsSomebodyHasCome() {
        let on = ReadingOn()
        defer { on.destroy() }
        #expect(on.pages(after: 0) == 0)
        #expect(on.pages(after: 1) == 0)
        #expect(on.pages(after: 10) == 5)
        #expect(on.pages(after: 64) == 32)
        on.limit = .bytes
        #expect(on.pages(after: 10) == 5)
        on.limit = .reads
        #expect(on.pages(after: 0) == 4)
        #expect(on.pages(after: 10) == 10)
        #expect(on.pages(after: 64) == 32)
    }

    /// What is wasted is paid in full. Clients earn it again: an eighth of what they miss, a sixty-fourth where bytes
    /// limit the volume.
    @Test func wasteIsPaid() {
        let on = ReadingOn()
        defer { on.destroy() }
        #expect(on.credit == 256)
        on.wasted(260)
        #expect(on.pages(after: 64) == 0)
        on.missed(48)
        #expect(on.credit == 2)
        on.limit = .bytes
        on.missed(64)
        #expect(on.credit == 3)
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
        on.wasted(200)
        on.used(1000)
        #expect(on.credit == 56)
        on.missed(100_000)
        #expect(on.credit == 256)
    }
}
