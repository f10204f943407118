import Glibc
import Scheduling
import TestSupport

@testable import Paging

/// One run of a Plan, inside a schedule: images, the pager, clients, and the judgement on everything that they saw.
final class Trial: @unchecked Sendable {
    let plan: Plan
    let clock = Clock()
    let verdict = Verdict()
    let images: [RecordingImage]
    /// What the next server finds, if anything is kept.
    let section: KeptSection?
    let pages: Pages
    private(set) var pagers: [Pager] = []
    private let registry: ProviderRegistry
    /// Limits the memory, if the plan does.
    private let limit: MemoryLimit?
    private var clients: [Client] = []
    private var hasLost = false
    /// The maximum number of reads of a hammer.
    static let mostHammering = 400

    /// Runs `plan` in the order that `strategy` draws with `seed`, by default the plan's own.
    static func run(
        _ plan: Plan, _ strategy: Strategy, seed: UInt64? = nil, journal: Journal? = nil, recordingTrace: Bool = false
    ) -> Outcome {
        Scheduler.run(seed: seed ?? plan.seed, strategy, journal: journal, recordingTrace: recordingTrace) {
            let trial = Trial(plan)
            trial.run()
            trial.judge()
        }
    }

    private init(_ plan: Plan) {
        self.plan = plan
        let (clock, verdict) = (clock, verdict)
        images = plan.images.map {
            RecordingImage(
                size: Int64($0.sectors * Sector.size), zeroes: $0.zeroes, faults: $0.faults, seed: plan.seed,
                clock: clock, verdict: verdict)
        }
        section = plan.keeps ? KeptSection(frames: plan.frames) : nil
        pages = try! Pages(
            memory: section?.memory ?? Pages.memory(forFrames: plan.frames), dirtyShare: plan.dirtyShare,
            readahead: plan.readahead, kept: section?.kept,
            backing: plan.framesOfBlock > 0
                ? ScheduledBlocks(blockBytes: plan.framesOfBlock * BasePage.size) : nil)
        registry = ProviderRegistry(pages: pages)
        limit =
            plan.framesOfBlock > 0
            ? MemoryLimit(pages: pages, registry: registry, minFrames: Memory.minFrames) : nil
        for image in images where images.count == 1 { image.belongs(to: pages) }
    }

    private func run() {
        for number in images.indices { pagers.append(Pager(open(number), writeThrough: plan.isWriteThrough)) }
        let writeback =
            plan.crew > 0
            ? try! Writeback(pages: pages, registry: registry, dirtyAge: plan.dirtyAge, crew: plan.crew) : nil
        let prefetcher = plan.prefetchers > 0 ? try! Prefetcher(pages: pages, threads: plan.prefetchers) : nil
        clients = plan.clients.enumerated().map { Client($0, $1, of: self) }
        let first = Client(clients.count, plan.preparation, of: self)
        first.run()
        clients.append(first)
        plan.death?.threaten(self)
        Scheduler.active!.setDrawing(true)
        let threads = plan.clients.indices.map { number in
            let client = clients[number]
            return Scheduler.active!.start("client \(number)") { client.run() }
        }
        for thread in threads { Scheduler.active!.join(thread) }
        Scheduler.active!.setDrawing(false)
        pages.checkInvariants()
        takeBackMemory()
        for number in images.indices { endOfRun(of: number) }
        for number in images.indices { close(number) }
        prefetcher?.stop()
        writeback?.stop()
        pages.checkInvariants(isQuiet: true)
        if !hasLost {
            verdict.expect(
                pages.memory.freeFrames == pages.memory.metadata.frames, "a closed image leaves frames behind")
        }
    }

    /// Wants the memory to be smaller by this number of blocks, or by as many as it can be.
    func limitMemory(by blocks: Int) {
        guard let limit else { return }
        let bytes = pages.memory.bytes - blocks * plan.framesOfBlock * BasePage.size
        let isTaken = (try? limit.set(max(bytes, limit.min(reserves: [])))) != nil
        verdict.expect(isTaken, "a limit is refused that can be")
    }

    /// Wants all of the memory, and waits for it.
    private func takeBackMemory() {
        guard let limit else { return }
        limitMemory(by: 0)
        while !limit.progress.isReached { MonotonicClock.sleepBriefly() }
        limit.stop()
    }

    private func open(_ number: Int) -> Provider {
        let image = images[number]
        return try! registry.open(ImageIdentity(device: 1, inode: UInt64(number))) { image }
    }

    /// Another client opens the image, and leaves it.
    func reopen(_ number: Int) throws(AccessError) { try registry.close(open(number)) }

    var haveVictimsEnded: Bool { clients.allSatisfy { $0.hasEnded || $0.isHammer } }

    // MARK: The end

    private var ending: [Client.Note] = []

    private func note(_ number: Int, _ kind: Command.Kind, _ body: () throws(AccessError) -> [UInt32]) -> Command {
        let sectors = kind == .read ? 0..<images[number].sectorCount : 0..<0
        var command = Command(kind: kind, sectors: sectors, start: clock.tick())
        Scheduler.active!.beginRequest("request at the end")
        do throws(AccessError) { command.found = try body() } catch { command.error = error.code }
        Scheduler.active!.endRequest()
        command.end = clock.tick()
        ending.append(Client.Note(image: number, command: command))
        return command
    }

    private func flush(_ number: Int) -> Int32 {
        note(number, .flush) { () throws(AccessError) in
            try self.pagers[number].flush()
            return []
        }.error
    }

    /// Once nothing fails any more, a flush succeeds, unless a failed sync has lost data for good. Everything that was
    /// written can be read.
    private func endOfRun(of number: Int) {
        let faults = plan.images[number].faults
        images[number].heal()
        var error = flush(number)
        // The flush may have waited for a write-out that had begun to fail before.
        if error != 0, faults.writeFailsOnceIn > 0 { error = flush(number) }
        if error != 0 { hasLost = true }
        verdict.expect(error == 0 || faults.syncFailsOnceIn > 0, "nothing fails any more, but a flush does")
        var read = note(number, .read) { () throws(AccessError) in try self.readAll(number) }
        // A read may also fail: each thread that reads ahead may have a failing read under way.
        for _ in 0..<plan.prefetchers where read.error != 0 && faults.readFailsOnceIn > 0 {
            read = note(number, .read) { () throws(AccessError) in try self.readAll(number) }
        }
        verdict.expect(read.error == 0, "nothing fails any more, but a read does")
    }

    private func readAll(_ number: Int) throws(AccessError) -> [UInt32] {
        let count = images[number].sectorCount
        let scratch = TestBuffer(count * Sector.size)
        let buffer = scratch.buffer(count * Sector.size)
        try pagers[number].read(into: buffer, at: 0)
        return (0..<count).map { Sector.load(buffer.baseAddress! + $0 * Sector.size, sector: $0) ?? UInt32.max }
    }

    /// After a good flush and the last close, the image itself holds what was read last.
    private func close(_ number: Int) {
        let isFlushed = ending.last { $0.image == number && $0.command.kind == .flush }!.command.error == 0
        do throws(AccessError) {
            try registry.close(pagers[number].provider)
            verdict.expect(isFlushed, "a close succeeds after data was lost")
        } catch {
            verdict.expect(!isFlushed, "a close fails after a flush succeeded: \(error)")
        }
        guard isFlushed, let read = ending.last(where: { $0.image == number && $0.command.kind == .read }) else {
            return
        }
        for (sector, value) in images[number].values.enumerated() {
            let found = sector < read.command.found.count ? read.command.found[sector] : UInt32.max
            verdict.expect(value == found, "sector \(sector) of the image is not what was read of it")
        }
    }

    // MARK: Judging

    private func judge() {
        judge(clients.flatMap(\.notes) + ending)
        endIfBlamed()
    }

    /// Judges what the images hold after the death of the process.
    /// - Parameter promises: Flushes to which the images are held as if they had been answered.
    func judgeAtDeath(_ promises: [Client.Note]) { judge(clients.flatMap(\.notesAtDeath) + promises) }

    /// Checks all reads, and power losses.
    private func judge(_ notes: [Client.Note]) {
        for (number, image) in images.enumerated() {
            let oracle = Oracle(notes.filter { $0.image == number }.map(\.command), originals: image.originals)
            oracle.checkReads(verdict)
            _ = PowerLoss(oracle, image.history).check(plan.powerLosses, verdict)
        }
    }

    /// Ends the schedule with a failure, if anything is wrong.
    func endIfBlamed() {
        if let finding = verdict.findings.withLock({ $0.first }) { Scheduler.active!.fail(finding) }
    }
}
