import Glibc
import Scheduling

@testable import Paging

/// A thread of a trial. It does its requests one after the other, and notes the answers.
final class Client: @unchecked Sendable {
    /// A request, under way or ended, and its image.
    struct Note {
        let image: Int
        var command: Command
    }

    private let number: Int
    private let requests: [Request]
    private unowned let trial: Trial
    private let scratch: TestBuffer
    private var nextValue: UInt32
    private(set) var notes: [Note] = []
    private(set) var hasEnded = false

    init(_ number: Int, _ requests: [Request], of trial: Trial) {
        self.number = number
        self.requests = requests
        self.trial = trial
        nextValue = UInt32(number + 1) << 16
        scratch = TestBuffer(max(1, requests.map(\.sectors.count).max() ?? 1) * Sector.size)
    }

    /// The end of a request that is under way.
    private static let never = UInt64.max / 2

    /// The notes of a client that is stopped here. The request under way may have been done, but promises nothing.
    var notesAtDeath: [Note] {
        notes.compactMap { note in
            guard note.command.end == Client.never else { return note }
            var note = note
            note.command.isForced = false
            return note.command.kind == .flush || note.command.kind == .read ? nil : note
        }
    }

    /// Whether the client only disturbs others.
    var isHammer: Bool { requests.contains { $0.kind == .hammer } }

    func run() {
        for request in requests { run(request) }
        hasEnded = true
    }

    private func run(_ request: Request) {
        switch request.kind {
        case .read: note(.read, request) { () throws(AccessError) in try self.read(request) }
        case .write: note(.write, request, value: nextValue) { () throws(AccessError) in try self.write(request) }
        case .zero:
            note(.zero, request) { () throws(AccessError) in
                try self.pager(request).zero(
                    self.bytes(request), mayTrim: request.mayTrim, onlyIfFast: request.onlyIfFast,
                    forced: request.isForced)
            }
        case .trim:
            note(.trim, request) { () throws(AccessError) in
                try self.pager(request).trim(self.bytes(request), forced: request.isForced)
            }
        case .flush: note(.flush, request) { () throws(AccessError) in try self.pager(request).flush() }
        case .populate:
            unnoted("populate") { () throws(AccessError) in try self.pager(request).populate(self.bytes(request)) }
        case .extents: unnoted("extents") { () throws(AccessError) in try self.extents(request) }
        case .check: trial.pages.checkInvariants()
        case .reopen: unnoted("reopen") { () throws(AccessError) in try self.trial.reopen(request.image) }
        case .limit: trial.limitMemory(by: request.sectors.count)
        case .hammer: hammer(request)
        }
    }

    private func pager(_ request: Request) -> Pager { trial.pagers[request.image] }

    private func bytes(_ request: Request) -> Range<Int64> {
        Int64(request.sectors.lowerBound * Sector.size)..<Int64(request.sectors.upperBound * Sector.size)
    }

    private func unnoted(_ name: StaticString, _ body: () throws(AccessError) -> Void) {
        Scheduler.active?.beginRequest(name)
        defer { Scheduler.active?.endRequest() }
        do throws(AccessError) { try body() } catch {}
    }

    /// Runs `body`, and notes the request and its result.
    private func note(
        _ kind: Command.Kind, _ request: Request, value: UInt32 = Sector.zeroes, _ body: () throws(AccessError) -> Void
    ) {
        var sectors = request.sectors
        if kind == .trim {
            // A trim changes only base pages that lie wholly in it. The image's last base page ends with the image.
            let first = (sectors.lowerBound + 7) / 8 * 8
            let size = trial.images[request.image].sectorCount
            let end = sectors.upperBound == size ? size : sectors.upperBound / 8 * 8
            sectors = first..<max(first, end)
        }
        let index = notes.count
        notes.append(
            Note(
                image: request.image,
                command: Command(
                    kind: kind, sectors: sectors, value: value, isForced: request.isForced, start: trial.clock.tick(),
                    end: Client.never)))
        Scheduler.active?.beginRequest("request")
        do throws(AccessError) { try body() } catch { notes[index].command.error = error.code }
        Scheduler.active?.endRequest()
        notes[index].command.end = trial.clock.tick()
    }

    private func read(_ request: Request) throws(AccessError) {
        let buffer = scratch.buffer(request.sectors.count * Sector.size)
        try pager(request).read(into: buffer, at: bytes(request).lowerBound)
        notes[notes.count - 1].command.found = request.sectors.map { sector in
            let place = (sector - request.sectors.lowerBound) * Sector.size
            return Sector.load(buffer.baseAddress! + place, sector: sector) ?? UInt32.max
        }
    }

    private func write(_ request: Request) throws(AccessError) {
        let value = nextValue
        nextValue += 1
        let buffer = scratch.buffer(request.sectors.count * Sector.size)
        for sector in request.sectors {
            let place = (sector - request.sectors.lowerBound) * Sector.size
            Sector.store(value, sector: sector, to: buffer.baseAddress! + place)
        }
        try pager(request).write(
            from: UnsafeRawBufferPointer(buffer), at: bytes(request).lowerBound, forced: request.isForced)
    }

    /// Checks that the extents cover the range from its beginning to its end, without a gap.
    private func extents(_ request: Request) throws(AccessError) {
        var next = bytes(request).lowerBound
        try pager(request).extents(of: bytes(request)) { extent in
            trial.verdict.expect(extent.range.lowerBound == next, "extents leave a gap at \(next)")
            next = extent.range.upperBound
            return true
        }
        trial.verdict.expect(next >= bytes(request).upperBound, "extents end at \(next)")
    }

    private func hammer(_ request: Request) {
        var left = Trial.mostHammering
        while !trial.haveVictimsEnded, left > 0 {
            note(.read, request) { () throws(AccessError) in try self.read(request) }
            // There would be too many notes, all alike.
            notes.removeLast()
            left -= 1
        }
    }
}
