@testable import Paging

/// The next server of a process that has died at some step.
extension Death {
    /// It takes over what the dead one has left. Everything answered can be read through it, and of what was not
    /// answered each sector is the old one or the new one. After a flush, the image holds what was read, and all of
    /// that outlives a power loss.
    static func takeOver(_ moment: Moment) -> Death {
        Death(moment: moment, heirName: "its memory to the next server") { trial in
            guard let section = trial.section, let kept = try? KeptState(checking: section.bytes) else {
                return trial.verdict.expect(false, "what the dead server has left is damaged")
            }
            for image in trial.images { image.callsHaveEnded() }
            let pages = try! Pages(memory: section.memory, dirtyShare: 0.9, readahead: 0, kept: kept)
            let registry = ProviderRegistry(pages: pages)
            let takenOver = registry.takeOver(kept) { (trial.images[$0], false) }
            trial.verdict.expect(takenOver.count == trial.images.count, "an image is missing")
            for image in trial.images where trial.images.count == 1 { image.belongs(to: pages) }
            pages.checkInvariants(isQuiet: true)
            let promises = takenOver.flatMap { Death.notes(of: Int($0.provider.image), Pager($0.provider), trial) }
            pages.checkInvariants(isQuiet: true)
            trial.judgeAtDeath(promises)
        }
    }

    /// Reads all of an image through the next server, and flushes it.
    private static func notes(of number: Int, _ pager: Pager, _ trial: Trial) -> [Client.Note] {
        let count = trial.images[number].sectorCount
        var read = Command(kind: .read, sectors: 0..<count, start: trial.clock.tick())
        let scratch = TestBuffer(count * Sector.size)
        let buffer = scratch.buffer(count * Sector.size)
        do throws(AccessError) {
            try pager.read(into: buffer, at: 0)
        } catch {
            trial.verdict.expect(false, "a read fails after the take-over: \(error)")
        }
        read.found = (0..<count).map {
            Sector.load(buffer.baseAddress! + $0 * Sector.size, sector: $0) ?? UInt32.max
        }
        read.end = trial.clock.tick()
        var flush = Command(kind: .flush, sectors: 0..<0, start: trial.clock.tick())
        do throws(AccessError) { try pager.flush() } catch { flush.error = error.code }
        flush.end = trial.clock.tick()
        trial.verdict.expect(flush.error == 0, "a flush fails after the take-over: \(flush.error)")
        for (sector, value) in trial.images[number].values.enumerated() {
            trial.verdict.expect(
                value == read.found[sector], "sector \(sector) of the image is not what was read after the take-over")
        }
        return [Client.Note(image: number, command: read), Client.Note(image: number, command: flush)]
    }
}
