import Accessors
import Glibc
import Paging

/// Flushes the images when the server is about to end, or is told to, each on a thread of its own: one whose disk hangs
/// does not keep the others from their images.
///
///     (none) ── start ──▶ running ── the flush has ended ──▶ ended ── start ──▶ running
///
/// Thread rules: one thread calls, the flushes run on theirs. An image stays open while it is flushed.
final class FinalFlushes: Sendable {
    /// What one flush does. Only one thread of the server asks for the first kind. The last one tries each page alone,
    /// and notes for the next server what the image looks like.
    enum Kind: Sendable { case ifChanged, now, last }

    private struct Flush {
        let served: ServedImage
        var isRunning = true
        var error: AccessError?
    }

    private let flushes = Guarded<[ObjectIdentifier: Flush]>([:])
    private let registry: ProviderRegistry

    init(_ registry: ProviderRegistry) { self.registry = registry }

    /// Starts to flush those of `images` that can be written, unless their last flush is still running.
    func start(_ images: [ServedImage], _ kind: Kind) {
        // What failed of an image that has no clients any more has been done since, or the Writeback goes on with it.
        let keys = Set(images.map { ObjectIdentifier($0) })
        flushes.withLock { $0 = $0.filter { $0.value.isRunning || keys.contains($0.key) } }
        for served in images where served.image.isWritable {
            let key = ObjectIdentifier(served)
            let isFree = flushes.withLock { flushes in
                guard flushes[key]?.isRunning != true else { return false }
                flushes[key] = Flush(served: served)
                return true
            }
            guard isFree else { continue }
            let hasBegun = DetachedThread.run { self.end(key, with: self.flush(served, kind)) }
            if !hasBegun { end(key, with: AccessError(EAGAIN)) }
        }
    }

    private func end(_ key: ObjectIdentifier, with error: AccessError?) {
        flushes.withLock { flushes in
            flushes[key]?.error = error
            flushes[key]?.isRunning = false
        }
    }

    private func flush(_ served: ServedImage, _ kind: Kind) -> AccessError? {
        // An image that is not open any more has been flushed by its last client.
        guard
            let provider = try? registry.open(
                served.provider.identity, accessor: { () throws(AccessError) in throw AccessError(ENOENT) })
        else { return nil }
        defer { _ = try? registry.close(provider) }
        guard provider === served.provider else { return nil }
        // After the last sync, and here because the disk may hang.
        defer { if kind == .last { served.image.noteLastStamp() } }
        do throws(AccessError) {
            switch kind {
            case .ifChanged: try provider.flushIfChanged()
            case .now: try provider.flush()
            case .last: try provider.flushAtLast()
            }
            return nil
        } catch {
            return error
        }
    }

    /// Waits until all flushes have ended, but no longer than `patience` milliseconds without any progress.
    /// - Returns: Whether all have ended.
    func wait(patience: Int) -> Bool {
        DiskWait.wait(patience, while: { isAnyRunning }, progress: { progress })
    }

    /// Whether a flush is under way.
    var isAnyRunning: Bool { flushes.withLock { $0.values.contains(where: \.isRunning) } }

    /// A number that changes when pages have been written, when a write has failed, or when a flush has ended.
    var progress: UInt64 {
        flushes.withLock { flushes in
            flushes.values.reduce(0) { sum, flush in
                let counters = flush.served.provider.counters
                return sum &+ counters.pagesWritten &+ counters.failedWrites &+ (flush.isRunning ? 0 : 1)
            }
        }
    }

    /// The images whose flush has failed or is still running, in the order of their names; with the error of those that
    /// have failed.
    var failures: [(served: ServedImage, error: AccessError?)] {
        flushes.withLock { flushes in
            flushes.values.filter { $0.isRunning || $0.error != nil }.map { ($0.served, $0.isRunning ? nil : $0.error) }
        }.sorted { $0.served.label < $1.served.label }
    }
}
