import Testing

@testable import Paging

/// What may be read ahead before anybody is known to want it.
@Suite struct ReadaheadAccountTests {
    /// It begins with its maximum: ten windows, at least 4 MiB and at most 24. What is lost is paid in full, and it may
    /// owe.
    @Test func whatIsLostIsPaid() {
        var account = ReadaheadAccount(maxWindow: 256)
        #expect(account.credit == 2560)
        account.lost(60)
        #expect(account.credit == 2500)
        account.lost(5000)
        #expect(account.credit == -1024, "the debt is limited")
        #expect(ReadaheadAccount(maxWindow: 1024).credit == 6144)
        #expect(ReadaheadAccount(maxWindow: 16).credit == 1024)
    }

    /// An eighth of what is missed or passed is earned, and nothing is lost by rounding. A long miss counts as four
    /// pages; what was read ahead counts in full.
    @Test func anEighthIsEarned() {
        var account = ReadaheadAccount(maxWindow: 256)
        account.lost(2560)
        for _ in 0..<7 { account.missed(1, maxWindow: 256) }
        #expect(account.credit == 0)
        account.missed(1, maxWindow: 256)
        #expect(account.credit == 1)
        account.missed(1000, maxWindow: 256)
        account.missed(4, maxWindow: 256)
        #expect(account.credit == 2)
        account.passed(1000, maxWindow: 256)
        #expect(account.credit == 127)
    }

    /// No more is earned than the maximum. A maximum that has become smaller takes nothing away.
    @Test func itHasAMaximum() {
        var account = ReadaheadAccount(maxWindow: 256)
        account.passed(1 << 20, maxWindow: 256)
        #expect(account.credit == 2560)
        account.passed(1 << 20, maxWindow: 16)
        #expect(account.credit == 2560)
        account.lost(2500)
        account.passed(1 << 20, maxWindow: 16)
        #expect(account.credit == 1024)
        account.passed(1 << 20, maxWindow: 256)
        #expect(account.credit == 2560)
    }

    /// On a slow volume that is not known to be limited by reads, a 32nd or a 256th is earned, up to 4 MiB. What
    /// there is beyond that is taken away.
    @Test(
        arguments: [(limit: VolumeJudge.Limit.either, pages: 32), (limit: .bytes, pages: 256)]
            as [(VolumeJudge.Limit, UInt64)])
    func slowVolumesEarnLess(limit: VolumeJudge.Limit, pages: UInt64) {
        var account = ReadaheadAccount(maxWindow: 256)
        account.missed(1, maxWindow: 256, limit)
        #expect(account.credit == 1024)
        account.lost(1025)
        account.passed(2 * pages - 1, maxWindow: 256, limit)
        #expect(account.credit == 0)
        account.missed(1, maxWindow: 256, limit)
        #expect(account.credit == 1)
        account.passed(1 << 20, maxWindow: 256, limit)
        #expect(account.credit == 1024)
        account.passed(1 << 20, maxWindow: 256, .reads)
        #expect(account.credit == 2560)
    }
}
