/// Knows for each sector which values concurrent commands allow: for a read, and after a crash.
///
/// A reader regards a command that changes a sector as *over* once another one has replaced it. The other one began
/// after the command was answered, and was itself answered with success before the read began. A read may find any
/// command that began before the read ended and is not over. One that failed may have worked or not, but makes no other
/// one over.
///
/// After a crash the same holds, with "promised" in place of "answered before the read began". A command is promised if
/// it was answered before a flush began that was answered before the crash. So is a forced one that was answered before
/// the crash.
struct Oracle {
    private let commands: [Command]
    /// For each sector, the commands that may have changed it.
    private let changes: [[Int32]]
    /// Every flush that was answered with success.
    private let flushes: [Command]
    /// What the fresh image held.
    let originals: [UInt32]

    /// - Parameter originals: The value of each sector before the first command.
    init(_ commands: [Command], originals: [UInt32]) {
        self.commands = commands
        self.originals = originals
        var changes: [[Int32]] = Array(repeating: [], count: originals.count)
        for (index, command) in commands.enumerated() where command.mayHaveChanged {
            for sector in command.sectors { changes[sector].append(Int32(index)) }
        }
        self.changes = changes
        flushes = commands.filter { $0.kind == .flush && $0.error == 0 }
    }

    /// The values that a reader may find in sector `sector` from `start` to `end`.
    func allowed(in sector: Int, from start: UInt64, to end: UInt64) -> [UInt32] {
        allowed(in: sector, begunBefore: end) { $0.end < start }
    }

    /// The values that sector `sector` may have after a crash at `time`.
    /// - Parameter promise: `lastPromise(before: time)`.
    func allowed(in sector: Int, afterCrashAt time: UInt64, promise: UInt64) -> [UInt32] {
        allowed(in: sector, begunBefore: time) { $0.end < promise || $0.isForced && $0.end < time }
    }

    /// The beginning of the last flush that had been answered by `time`.
    func lastPromise(before time: UInt64) -> UInt64 {
        flushes.reduce(0) { $1.end < time ? max($0, $1.start) : $0 }
    }

    private func allowed(
        in sector: Int, begunBefore end: UInt64, _ isDurable: (borrowing Command) -> Bool
    ) -> [UInt32] {
        var durable: UInt64 = 0
        for index in changes[sector] {
            let change = commands[Int(index)]
            if change.error == 0, isDurable(change) { durable = max(durable, change.start) }
        }
        var values = durable == 0 ? [originals[sector]] : []
        for index in changes[sector] {
            let change = commands[Int(index)]
            if change.start < end, change.end >= durable { values.append(change.value) }
        }
        return values
    }

    /// True if any command may have changed the sector.
    func isChanged(_ sector: Int) -> Bool { !changes[sector].isEmpty }

    /// Whether the same commands may have changed two sectors that were the same before.
    func areChangedAlike(_ one: Int, _ other: Int) -> Bool {
        originals[one] == originals[other] && changes[one] == changes[other]
    }

    /// Moments right after a promise: the best ones to crash at.
    var promises: [UInt64] {
        commands.filter { $0.error == 0 && ($0.kind == .flush || $0.isForced) }.map { $0.end + 1 }
    }

    /// Blames each read that found a value that is not allowed.
    func checkReads(_ verdict: Verdict) {
        for read in commands where read.kind == .read && read.error == 0 {
            for (sector, value) in zip(read.sectors, read.found)
            where !allowed(in: sector, from: read.start, to: read.end).contains(value) {
                verdict.blame(
                    "sector \(sector) read as \(describe(value)) at \(read.start)...\(read.end)"
                        + story(sector, before: read.end))
            }
        }
    }

    func describe(_ value: UInt32) -> String {
        switch value {
        case UInt32.max: "torn"
        case Sector.zeroes: "zeroes"
        case Sector.original: "the original"
        default: "write \(value)"
        }
    }

    /// What was done to a sector before `time`, in the order of the answers.
    func story(_ sector: Int, before time: UInt64) -> String {
        let changes = changes[sector].map { commands[Int($0)] } + commands.filter { $0.kind == .flush }
        return changes.filter { $0.start < time }.sorted { $0.end < $1.end }.suffix(12).map {
            let what = $0.kind == .flush ? "flush" : "\($0.kind) \(describe($0.value))"
            return "\n    \(what) \($0.start)...\($0.end) forced \($0.isForced) error \($0.error)"
        }.joined()
    }
}
