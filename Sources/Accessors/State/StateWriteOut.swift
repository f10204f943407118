import CStateFormat
import Glibc
import Paging
import SystemPackage

/// Brings to the images what a dead server owes them, without a server.
///
/// It needs nothing but the section whose meaning never changes, so any release that knows the version can. For each
/// image:
///
///     found by its path, locked like a server's ── judged ──▶ written ──▶ synced ──▶ owed no more
///                                                    │
///                                                    └ changed by others, or another image: refused
///
/// It may be killed at any point and run again. `alive` stays what it was: it tells whose the changes of those images
/// are that could not be judged yet. So an image at which it was killed counts as changed, unless it was just then
/// stamped.
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
        /// A sentence that says why, if any are.
        public let failure: String?
        /// Others have changed the image, and that is why.
        public let isChanged: Bool
    }

    /// Why nothing, or not all, could be written.
    private struct Refusal: Error {
        let text: String
        var isChanged = false
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
    /// - Returns: An outcome for each image to which something was owed.
    public func run(evenIfChanged: Bool = false) -> [Outcome] {
        state.undoWrites()
        let outcomes = state.contents.filter { $0.owed > 0 }.map { outcome($0, evenIfChanged) }
        if outcomes.allSatisfy({ $0.failure == nil }) { state.header.pointee.short_lives = 0 }
        return outcomes
    }

    private func outcome(_ contents: KeptContents, _ evenIfChanged: Bool) -> Outcome {
        let number = contents.number
        let owed = state.owedPages(of: number)
        var failure: String?
        var isChanged = false
        do {
            try write(contents, owed, evenIfChanged)
        } catch let refusal as Refusal {
            failure = "\(state.image(number).path.withoutControls): \(refusal.text)"
            isChanged = refusal.isChanged
        } catch {
            failure = "\(error)"
        }
        let left = state.owedPages(of: number).count
        return Outcome(
            path: state.image(number).path, writtenPages: owed.count - left, owedPages: left, failure: failure,
            isChanged: isChanged)
    }

    private func write(_ contents: KeptContents, _ owed: [KeptState.OwedPage], _ evenIfChanged: Bool) throws {
        let (number, record) = (contents.number, contents.image)
        guard !record.path.isEmpty else { throw Refusal(text: "image \(number) of the state has no path") }
        let image = try ImageFile(at: ImagePlace(FilePath(record.path)), rings: rings, mark: mark)
        try image.beginWriting()
        defer { image.endWriting() }
        switch image.judge(record, owedEnd: contents.owedEnd, alive: state.header.pointee.alive) {
        case .same: break
        case .untold: state.dropClean(of: number)
        case .changed(let reason):
            guard evenIfChanged else { throw Refusal(text: "others have changed it: \(reason)", isChanged: true) }
            state.dropClean(of: number)
        case .other(let reason): throw Refusal(text: "it is not the image that the server had: \(reason)")
        }
        do throws(AccessError) {
            try image.adoptSize(in: state, of: number)
        } catch {
            throw Refusal(text: "a read failed (\(Errno(rawValue: error.code)))")
        }
        image.keep(in: record)
        let (written, error) = write(owed, to: image)
        do throws(AccessError) {
            try image.makeDurable()
        } catch {
            throw Refusal(text: "the sync failed (\(Errno(rawValue: error.code)))")
        }
        state.settle(written, of: number)
        if let error { throw Refusal(text: "a write failed (\(Errno(rawValue: error.code)))") }
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
