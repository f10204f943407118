import Glibc
import Paging
import TestSupport

/// One thread of the write model test: random commands on overlapping ranges, each noted with its times and its answer.
/// It notes in memory of its own and judges nothing, so that it orders nothing either.
struct Writer {
    let disk: any Disk
    let clock: Clock
    let scenario: WriteScenario
    private var random: SplitMix64
    private let scratch: TestBuffer
    /// The value of the next write: no other one in the scenario has it.
    private var nextValue: UInt32
    private(set) var commands: [Command] = []
    /// The end of the last command.
    private var end = 0

    init(_ number: Int, _ scenario: WriteScenario, _ disk: any Disk, _ clock: Clock) {
        self.disk = disk
        self.clock = clock
        self.scenario = scenario
        random = SplitMix64(seed: scenario.seed, stream: UInt64(number + 1))
        scratch = TestBuffer(scenario.maxRequest * Sector.size)
        nextValue = UInt32(number + 1) << 20
        commands.reserveCapacity(scenario.requestsPerThread)
    }

    mutating func run() {
        for _ in 0..<scenario.requestsPerThread { step() }
    }

    private mutating func step() {
        let continues = scenario.continuesOnceIn > 0 && !random.once(in: scenario.continuesOnceIn + 1)
        let sectors = continues ? nextSectors() : someSectors()
        end = sectors.upperBound
        let isForced = random.once(in: scenario.forcedOnceIn)
        switch random.pick(0...19) {
        case 0...6: read(sectors)
        case 7...14: write(sectors, isForced)
        case 15: zero(sectors, isForced)
        case 16: trim(sectors, isForced)
        case 17: try? disk.populate(bytes(sectors))
        default: if random.once(in: scenario.flushOnceIn) { flush() } else { write(sectors, isForced) }
        }
    }

    /// Usually few sectors in the same small area, sometimes many.
    private mutating func someSectors() -> Range<Int> {
        let count = random.length(upTo: min(scenario.maxRequest, scenario.sectors))
        let hot = min(scenario.sectors, scenario.hotSectors)
        let within = random.once(in: 3) || count > hot ? scenario.sectors : hot
        var first = random.pick(0...within - count)
        if random.once(in: 3) { first = first / 8 * 8 }
        return first..<first + count
    }

    /// The sectors after the last command. They are few, so that many of them make a stream.
    private mutating func nextSectors() -> Range<Int> {
        let first = end < scenario.sectors ? end : 0
        return first..<first + random.length(upTo: min(scenario.sectors - first, 32, scenario.maxRequest))
    }

    private func bytes(_ sectors: Range<Int>) -> Range<Int64> {
        Int64(sectors.lowerBound * Sector.size)..<Int64(sectors.upperBound * Sector.size)
    }

    /// Does `body` and notes it.
    private mutating func note(_ command: Command, _ body: () throws(AccessError) -> Void) {
        var command = command
        do throws(AccessError) { try body() } catch { command.error = error.code }
        command.end = clock.tick()
        commands.append(command)
    }

    private mutating func read(_ sectors: Range<Int>) {
        let buffer = scratch.buffer(sectors.count * Sector.size, skew: random.pick(0...63))
        let offset = bytes(sectors).lowerBound
        let disk = disk
        note(Command(kind: .read, sectors: sectors, start: clock.tick())) { () throws(AccessError) in
            try disk.read(into: buffer, at: offset)
        }
        guard commands[commands.count - 1].error == 0 else { return }
        commands[commands.count - 1].found = sectors.map { sector in
            let place = (sector - sectors.lowerBound) * Sector.size
            return Sector.load(buffer.baseAddress! + place, sector: sector) ?? UInt32.max
        }
    }

    private mutating func write(_ sectors: Range<Int>, _ isForced: Bool) {
        let value = nextValue
        nextValue += 1
        let buffer = scratch.buffer(sectors.count * Sector.size, skew: random.pick(0...63))
        for sector in sectors {
            let place = (sector - sectors.lowerBound) * Sector.size
            Sector.store(value, sector: sector, to: buffer.baseAddress! + place)
        }
        let (disk, offset) = (disk, bytes(sectors).lowerBound)
        let command = Command(kind: .write, sectors: sectors, value: value, isForced: isForced, start: clock.tick())
        note(command) { () throws(AccessError) in
            try disk.write(from: UnsafeRawBufferPointer(buffer), at: offset, forced: isForced)
        }
    }

    private mutating func zero(_ sectors: Range<Int>, _ isForced: Bool) {
        let (disk, range) = (disk, bytes(sectors))
        let (mayTrim, onlyIfFast) = (random.once(in: 2), random.once(in: 3))
        note(Command(kind: .zero, sectors: sectors, isForced: isForced, start: clock.tick())) {
            () throws(AccessError) in
            try disk.zero(range, mayTrim: mayTrim, onlyIfFast: onlyIfFast, forced: isForced)
        }
    }

    /// A trim changes base pages that lie wholly in it. The image's last page ends with the image.
    private mutating func trim(_ sectors: Range<Int>, _ isForced: Bool) {
        let (disk, range) = (disk, bytes(sectors))
        let first = (sectors.lowerBound + 7) / 8 * 8
        let end = sectors.upperBound == scenario.sectors ? scenario.sectors : sectors.upperBound / 8 * 8
        let whole = first..<max(first, end)
        note(Command(kind: .trim, sectors: whole, isForced: isForced, start: clock.tick())) { () throws(AccessError) in
            try disk.trim(range, forced: isForced)
        }
    }

    private mutating func flush() {
        let disk = disk
        note(Command(kind: .flush, sectors: 0..<0, start: clock.tick())) { () throws(AccessError) in try disk.flush() }
    }
}
