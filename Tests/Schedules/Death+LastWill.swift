@testable import Paging

/// The last will of a process that has died at some step.
extension Death {
    /// The will writes out what is dirty, and then power is lost. Everything answered must be on the images.
    ///
    /// The exception is an image whose pages a stopped thread has locked: the will passes them over, and says how many.
    /// - Parameter isCarriedOut: False for a mistake: the will is believed and not carried out.
    static func lastWill(_ moment: Moment, isCarriedOut: Bool = true) -> Death {
        Death(moment: moment, heirName: "a last will") { trial in
            for image in trial.images { image.isWrittenTwice = true }
            let free = trial.images.indices.map { isFree($0, of: trial) }
            let start = trial.clock.tick()
            let outcome = isCarriedOut ? trial.pages.will.bringOut() : LastWill.Outcome()
            let end = trial.clock.tick()
            let promises = free.indices.filter { free[$0] || outcome.passedOver == 0 }.map {
                Client.Note(image: $0, command: Command(kind: .flush, sectors: 0..<0, start: start, end: end))
            }
            trial.judgeAtDeath(promises)
            trial.verdict.expect(outcome.broken == 0, "what describes \(outcome.broken) pages is broken")
            trial.verdict.expect(outcome.failed == 0 && outcome.syncError == nil, "an image fails that does not")
            trial.verdict.expect(outcome.passedOver == 0 || free.contains(false), "pages are passed over that are free")
        }
    }

    /// Whether no stopped thread has the lock of the image's pages.
    private static func isFree(_ number: Int, of trial: Trial) -> Bool {
        precondition(trial.images[number].size <= Chunk.size, "an image of one chunk has one lock")
        let shard = trial.pagers[number].provider.mapper.context.map.shard(of: 0)
        guard shard.tryLock() else { return false }
        shard.unlock()
        return true
    }
}
