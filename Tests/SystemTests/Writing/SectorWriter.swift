import Glibc
import TestSupport

/// One of the threads that write an image of a `SectorLedger` over a connection of its own, until the server goes.
///
/// The threads own the sectors in turns: of 6 KiB in the first half of the image, so that threads meet in base pages,
/// and of 256 KiB in the second.
struct SectorWriter {
    let ledger: SectorLedger
    let client: Client
    let number: Int
    let writers: Int
    private var random: SplitMix64

    init(_ ledger: SectorLedger, _ client: Client, number: Int, of writers: Int, seed: UInt64) {
        self.ledger = ledger
        self.client = client
        self.number = number
        self.writers = writers
        random = SplitMix64(seed: seed &* 31 &+ UInt64(number))
    }

    /// Lets `count` threads work until this many flushes have been answered, and a little longer; then sends the server
    /// `signal`.
    static func run(
        _ count: Int, _ ledger: SectorLedger, _ server: Server, seed: UInt64, flushes: Int, then signal: Int32
    ) throws {
        try run(count, ledger, server, seed: seed, flushes: flushes) { kill(server.pid, signal) }
    }

    /// The same, but does `end`, which makes the server go.
    static func run(
        _ count: Int, _ ledger: SectorLedger, _ server: Server, seed: UInt64, flushes: Int, then end: () throws -> Void
    ) throws {
        let goal = ledger.flushes + flushes
        ledger.isOver = false
        try Threads.run(count + 1) { number in
            if number < count {
                do {
                    var writer = SectorWriter(ledger, try Client(server), number: number, of: count, seed: seed)
                    try writer.run()
                } catch {
                    // The server may go while this one is connecting.
                    guard ledger.isOver else { throw error }
                }
                return
            }
            let failure = Result {
                try Patience.wait(seconds: 120, "too few flushes are answered") { ledger.flushes >= goal ? () : nil }
            }
            usleep(UInt32.random(in: 0..<20_000))
            ledger.isOver = true
            do {
                try failure.get()
                try end()
            } catch {
                kill(server.pid, SIGKILL)
                throw error
            }
        }
    }

    /// Works until the server is gone.
    /// - Throws: The error of a request that failed before the server was told to end.
    private mutating func run() throws {
        while true {
            do {
                try step()
            } catch {
                if ledger.isOver { return }
                throw error
            }
        }
    }

    private mutating func step() throws {
        let range = anyRange()
        let bytes = (count: range.count * SectorLedger.sectorSize, offset: range.lowerBound * SectorLedger.sectorSize)
        let isForced = Int.random(in: 0..<12, using: &random) == 0
        let flags: Client.Flags = isForced ? .forced : []
        switch Int.random(in: 0..<40, using: &random) {
        case 0:
            let covered = ledger.beginFlush()
            try client.flush()
            ledger.endFlush(covered)
        case 1..<5:
            let generation = ledger.begin(range, isZero: true)
            try client.zero(bytes.count, at: bytes.offset, Bool.random(using: &random) ? flags.union(.noHole) : flags)
            ledger.end(range, generation, isForced: isForced)
        default:
            let generation = ledger.begin(range)
            try client.write(SectorLedger.bytes(range, generation), at: bytes.offset, flags)
            ledger.end(range, generation, isForced: isForced)
        }
    }

    /// Sectors of this thread.
    private mutating func anyRange() -> Range<Int> {
        let half = ledger.sectors / 2
        let (begin, turn) = Bool.random(using: &random) ? (0, 12) : (half, 512)
        let turns = half / turn / writers
        let first = begin + (Int.random(in: 0..<turns, using: &random) * writers + number) * turn
        let length = Int.random(in: 1...turn, using: &random)
        let skipped = Int.random(in: 0...(turn - length), using: &random)
        return first + skipped..<first + skipped + length
    }
}
