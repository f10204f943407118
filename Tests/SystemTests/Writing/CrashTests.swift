import Glibc
import TestSupport
import Testing

/// kill -9 of the real nbdkit under running writers. 40 rounds of the plugin and 10 of the filter, and 400 of each with
/// FLEXPAGE_SOAK=1.
@Suite(.serialized) struct CrashTests {
    private static let sectors = 16_384
    private static let writers = 3
    private static func rounds(_ pager: Pager) -> Int { Soak.isOn ? 400 : pager == .plugin ? 40 : 10 }

    /// The ways to serve, which the rounds use in turn.
    private static let ways = [
        ["memory=1M", "dirty-age=1"], ["memory=2M", "dirty-age=3600"], ["memory=16M", "dirty=10%"],
        ["memory=64M", "dirty-age=3600"], ["memory=2M", "cache=writethrough"],
    ]

    /// Whatever SIGKILL interrupts, each sector holds its value at the last answered flush or FUA, or one written
    /// later; never an older one, never a mixture. The image goes from round to round, so every round opens what a
    /// killed server has left.
    @Test(arguments: Pager.allCases) func killedUnderWriters(_ pager: Pager) throws {
        let scratch = Scratch()
        let path = scratch.path("disk.img")
        try Files.resize(path, to: Self.sectors * SectorLedger.sectorSize)
        let ledger = SectorLedger(sectors: Self.sectors)
        var flushes = 0
        for round in 0..<Self.rounds(pager) {
            let way = Self.ways[round % Self.ways.count]
            let server = try Server([path] + way, Server.Options(isVerbose: false, pager: pager))
            let goal = 1 + round % 7
            do {
                try SectorWriter.run(Self.writers, ledger, server, seed: UInt64(round), flushes: goal, then: SIGKILL)
            } catch {
                throw Trouble("round \(round), \(way): \(error)\n\(server.log)")
            }
            #expect(try server.process.wait() == 128 + SIGKILL)
            do {
                try ledger.check(
                    try Files.bytes(path), keeps: way.contains("cache=writethrough") ? .answered : .flushed)
            } catch {
                throw Trouble("round \(round), \(way): \(error)")
            }
            flushes = ledger.flushes
        }
        print("kill -9 of the \(pager): \(Self.rounds(pager)) rounds, \(flushes) flushes answered, violations 0")
    }
}
