import CStateFormat
import Glibc
import Paging
import SystemPackage

/// Brings to the images what a dead server owes them, without a server. It also syncs those of which a failed sync
/// would lose something that is not in memory any more.
///
/// It needs nothing but the section whose meaning never changes, so any release that knows the version can. All images
/// are judged first, and then written one by one:
///
///     found by its path, locked like a server's ── judged ──▶ stamped ┄┄▶ written ──▶ synced ──▶ owed no more
///                                                    │
///                                                    └ changed by others, or another image: refused
///
/// An image that is owed nothing is not written, so others may have changed it: it is synced all the same. A sync that
/// fails is noted as a loss in the record (`KeptImage.sync`), and no later one makes that good.
///
/// **It may be killed at any point and run again.** While an image is being written, `alive` says that its changes are
/// not foreign. But `alive` must not move before it has been used for all other images: what others changed in the
/// meantime would look like the server's. So each image that is as it was is stamped, which says the same without a
/// clock; and what others have changed is noted as changed. What is kept of an image that is owed nothing is dropped if
/// only `alive` could judge it. If an image that is owed something cannot be had, `alive` stays.
///
/// Thread rules: one thread, which has taken charge of the state (`StateFile.takeCharge`).
public struct StateWriteOut {
    /// What has become of one image.
    public struct Outcome: Sendable {
        /// The path of the image.
        public let path: String
        /// Base pages that are on the image now, and durable.
        public let writtenPages: Int
        /// Base pages that are still owed.
        public let owedPages: Int
        /// Whether something that is not in memory any more may still not be durable.
        public let isUnsynced: Bool
        /// A sentence that says why, if any pages are owed or the image is unsynced.
        public let failure: String?
        /// Others have changed the image, and that is why.
        public let isChanged: Bool
    }

    /// Why nothing, or not all, could be written.
    private struct Refusal: Error {
        let text: String
        var isChanged = false
        /// The image has been found and looked at.
        var isJudged = false
    }

    private let state: KeptState
    private let mark: ServerMark
    private let rings = WriteRings()

    /// The maximum number of base pages in one write.
    private static let maxPages = 256

    public init(_ state: KeptState, _ mark: ServerMark) {
        self.state = state
        self.mark = mark
    }

    /// Writes out what is owed to all images, and waits until it is durable. An error of one image does not keep the
    /// others from it.
    /// - Parameter evenIfChanged: Also to images that others have changed since.
    /// - Returns: An outcome for each image to which something was owed, or that was unsynced.
    public func run(evenIfChanged: Bool = false) -> [Outcome] {
        state.undoWrites()
        let wanted = state.contents.filter { $0.owed > 0 || $0.image.isUnsynced }
        var refusals: [Int: Refusal] = [:]
        for image in wanted { refusals[image.number] = refusal { try prepare(image, evenIfChanged) } }
        let areAllJudged = !wanted.isEmpty && refusals.values.allSatisfy { $0.isJudged }
        let lifeSigns = areAllJudged ? LifeSigns(state) : nil
        defer { lifeSigns?.end() }
        if lifeSigns != nil { dropUnproven() }
        let outcomes = wanted.map { image in
            // A page that was being moved is in two frames.
            let count = state.owedPages(of: image.number).count
            return outcome(image, count, refusals[image.number] ?? refusal { try write(image) })
        }
        if outcomes.allSatisfy({ $0.failure == nil }) { state.header.pointee.short_lives = 0 }
        return outcomes
    }

    private func refusal(_ body: () throws -> Void) -> Refusal? {
        do {
            try body()
            return nil
        } catch {
            return error as? Refusal ?? Refusal(text: "\(error)")
        }
    }

    /// - Parameter count: Base pages that were owed before.
    private func outcome(_ image: KeptContents, _ count: Int, _ refusal: Refusal?) -> Outcome {
        let left = state.owedPages(of: image.number).count
        return Outcome(
            path: image.image.path, writtenPages: count - left, owedPages: left,
            isUnsynced: image.image.isUnsynced, failure: refusal?.text, isChanged: refusal?.isChanged == true)
    }

    /// Drops what is kept of images that are owed nothing, and that only `alive` could judge.
    private func dropUnproven() {
        for image in state.contents where image.owed == 0 && !image.image.isStampProof {
            state.dropClean(of: image.number)
        }
    }

    // MARK: One image

    /// Opens the image, locked for writing if anything is owed to it, and judges it.
    private func withImage(_ contents: KeptContents, _ body: (ImageFile, KeptJudgement) throws -> Void) throws {
        let record = contents.image
        guard !record.path.isEmpty else { throw Refusal(text: "image \(contents.number) of the state has no path") }
        let isOwed = contents.owed > 0
        let image = try ImageFile(
            at: ImagePlace(FilePath(record.path)), readOnly: !isOwed, rings: rings, mark: mark)
        if isOwed { try image.beginWriting() }
        defer { if isOwed { image.endWriting() } }
        try body(
            image, image.judge(record, owedEnd: contents.owedEnd, alive: state.alive))
    }

    /// Judges an image, and notes the judgement in its record.
    private func prepare(_ contents: KeptContents, _ evenIfChanged: Bool) throws {
        try withImage(contents) { image, judgement in
            switch judgement {
            case .same: break
            case .untold: state.dropClean(of: contents.number)
            case .changed where evenIfChanged || contents.owed == 0: state.dropClean(of: contents.number)
            case .changed:
                StampRecord(contents.image).storeForeign()
                throw refusal(judgement, image)
            case .other: throw refusal(judgement, image)
            }
            try take(image, contents)
        }
    }

    /// From now on the record says what the image looks like.
    private func take(_ image: ImageFile, _ contents: KeptContents) throws {
        do throws(AccessError) {
            try image.adoptSize(in: state, of: contents.number)
        } catch {
            throw Refusal(text: "\(image.label): a read failed (\(Errno(rawValue: error.code)))")
        }
        image.keep(in: contents.image)
    }

    private func refusal(_ judgement: KeptJudgement, _ image: ImageFile) -> Refusal {
        switch judgement {
        case .same, .untold: preconditionFailure("nothing is refused")
        case .changed(let reason):
            Refusal(text: "\(image.label): others have changed it: \(reason)", isChanged: true, isJudged: true)
        case .other(let reason):
            Refusal(text: "\(image.label): it is not the image that the server had: \(reason)")
        }
    }

    /// Writes what is owed to an image that has been prepared, and syncs it.
    private func write(_ contents: KeptContents) throws {
        let (number, record) = (contents.number, contents.image)
        let owed = state.owedPages(of: number)
        try withImage(contents) { image, judgement in
            switch judgement {
            case .same, .untold: break
            case .changed where owed.isEmpty: break
            case .changed, .other: throw refusal(judgement, image)
            }
            try take(image, contents)
            let (written, error) = write(owed, to: image)
            do throws(AccessError) {
                try record.sync { () throws(AccessError) in try image.makeDurable() }
            } catch {
                throw Refusal(text: "\(image.label): the sync failed (\(Errno(rawValue: error.code)))")
            }
            state.settle(written, of: number)
            if let error { throw Refusal(text: "\(image.label): a write failed (\(Errno(rawValue: error.code)))") }
        }
    }

    // MARK: Writes

    /// - Returns: What has been written, and the error of a write that failed.
    private func write(
        _ owed: [KeptState.OwedPage], to image: ImageFile
    ) -> (written: [KeptState.OwedPage], error: AccessError?) {
        var written: [KeptState.OwedPage] = []
        var error: AccessError?
        var runs = StateWriteOut.runs(owed)[...]
        while !runs.isEmpty {
            let batch = runs.prefix(WriteOut.maxCount)
            runs = runs.dropFirst(WriteOut.maxCount)
            for (run, failure) in zip(batch, write(batch.map { owed[$0] }, to: image)) {
                if let failure { error = error ?? failure } else { written += owed[run] }
            }
        }
        return (written, error)
    }

    /// Runs of pages that follow one another.
    private static func runs(_ owed: [KeptState.OwedPage]) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        var begin = 0
        for index in 1...max(1, owed.count) where begin < owed.count {
            let goesOn =
                index < owed.count && owed[index].page == owed[index - 1].page + 1 && index - begin < maxPages
            if !goesOn {
                runs.append(begin..<index)
                begin = index
            }
        }
        return runs
    }

    /// Writes several runs at once.
    /// - Returns: The error of each, or nil.
    private func write(_ runs: [ArraySlice<KeptState.OwedPage>], to image: ImageFile) -> [AccessError?] {
        let pieces = UnsafeMutableBufferPointer<iovec>.allocate(capacity: runs.reduce(0) { $0 + $1.count })
        defer { pieces.deallocate() }
        var next = 0
        var writes = runs.map { run in
            let begin = next
            for page in run {
                pieces.initializeElement(
                    at: next, to: iovec(iov_base: state.memory(ofFrame: page.frame), iov_len: BasePage.size))
                next += 1
            }
            return WriteOut(
                UnsafeBufferPointer(rebasing: pieces[begin..<next]), at: Int64(run.first!.page) * Int64(BasePage.size))
        }
        writes.withUnsafeMutableBufferPointer { image.writeOut($0) }
        return writes.map { $0.error }
    }
}
