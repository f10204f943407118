import CSignalStack

/// Of one image: a thread that leads flushes while callers wait for the next one, round after round.
///
/// Without it, one of those that wait leads the next flush. It has to be woken for that, and on busy processors waits
/// for its turn, while the disk has nothing to do. With eight clients that flush after each write, that took a third of
/// the time of a flush. A single client, which never waits for another's flush, leads by itself and pays for no
/// thread.
///
///     none ── ensure: a caller waits for the next flush ──▶ leads, or sleeps ── end ──▶ none
///
/// Thread rules: any thread; the caller holds no lock. A caller of `end` waits for the flush under way. Costs: a thread
/// for each image whose clients flush at the same time, until the image has no users any more.
final class FlushThread: @unchecked Sendable {
    private let flushes: SharedSync
    private let lead: (Unmanaged<Durability>) -> AccessError?
    /// Guards the crew. Nothing waits with it held.
    private let monitor = Monitor()
    private var crew: Crew?
    /// A thread that is ending has not ended yet. No other one starts before that.
    private var isEnding = false
    /// Outlives the thread, because its end ends the thread first.
    private var durability: Unmanaged<Durability>?

    /// - Parameter lead: Does one flush.
    init(_ flushes: SharedSync, _ lead: @escaping (Unmanaged<Durability>) -> AccessError?) {
        self.flushes = flushes
        self.lead = lead
    }

    deinit { monitor.destroy() }

    /// Starts the thread if there is none. If that fails, callers lead as before.
    func ensure(for durability: Durability) {
        monitor.withLock {
            guard crew == nil, !isEnding else { return }
            self.durability = Unmanaged.passUnretained(durability)
            flushes.setHelped(true)
            var started = Crew()
            do throws(AccessError) {
                try started.start(1, Unmanaged.passUnretained(self).toOpaque()) { argument in
                    signal_stack_prepare()
                    Unmanaged<FlushThread>.fromOpaque(argument!)._withUnsafeGuaranteedRef { $0.work() }
                    return nil
                }
                crew = started
            } catch {
                flushes.setHelped(false)
            }
        }
    }

    /// Ends the thread, if there is one, and waits until it has ended.
    func end() {
        let ending: Crew? = monitor.withLock {
            guard let crew else { return nil }
            self.crew = nil
            isEnding = true
            flushes.setHelped(false)
            return crew
        }
        guard var ending else { return }
        ending.join()
        monitor.withLock { isEnding = false }
    }

    /// Keeps no reference between two flushes: the last one may go as soon as the callers of a flush have returned.
    private func work() {
        guard let durability else { return }
        flushes.help { lead(durability) }
    }
}
