import CSignalStack

/// Of one image: a thread that leads flushes while callers wait for the next one, round after round. It is the helper
/// of a `SharedSync`, which says when callers leave their flush to it.
///
/// Without it, one of those that wait leads the next flush. It has to be woken for that, and on busy processors it
/// waits for its turn while the disk has nothing to do. A single client, which never waits for another's flush, leads
/// by itself and pays for no thread.
///
///     none ── start: callers wait ──▶ leads, or sleeps ── end: the image has no users ──▶ none
///      ▲                                     └── nothing to lead for `patience` ──▶ over ──┐
///      └───────────────────────── joined by the next start, or by end ─────────────────────┘
///
/// If no thread can be started, callers lead as before, and it is tried again a second later.
///
/// **Failures** belong to the round: whoever leads it, its callers get its error. So does a caller of an earlier round
/// that has not returned yet (`SharedSync.share`). The thread has no request of its own, answers nobody, and keeps
/// nothing between two rounds. So a process that dies loses no more than if a caller had led.
///
/// Thread rules: any thread; the caller holds no lock, unless there certainly is no thread any more. `end` waits for
/// the flush under way, and `start` for a thread that is over. Nothing else waits for the thread but callers whose
/// flush it leads. Costs: a thread with 20 KiB of its stack in use. An image has one while two threads flush it at the
/// same time, and for five seconds after that. A start takes about 50 µs of one caller's flush.
final class FlushThread: @unchecked Sendable {
    private let flushes: SharedSync
    private let patience: Int
    /// Guards `isChanging` and `nextStart`. It is not held while a thread starts or ends.
    private let monitor = Monitor()
    /// A caller is starting or ending the thread, and has all that follows `nextStart` for itself.
    private var isChanging = false
    /// If a start has failed: when the next one may be tried.
    private var nextStart = Int.min
    private var crew = Crew()
    private var lead: (() -> AccessError?)?

    /// How long a thread without work stays, milliseconds.
    private static let patience = 5000
    /// The time between a failed start and the next one, milliseconds.
    private static let retryInterval = 1000

    init(_ flushes: SharedSync, patience: Int = FlushThread.patience) {
        self.flushes = flushes
        self.patience = patience
    }

    /// The thread has ended (`end`).
    deinit { monitor.destroy() }

    /// Starts the thread, if callers wait for the next flush and there is none.
    /// - Parameter lead: Does one flush. It is called as long as the thread works, and keeps nothing alive. No caller
    ///   keeps it after the thread has started: the thread sanitizer does not see that a last release comes after the
    ///   others.
    func start(_ lead: consuming @escaping () -> AccessError?) {
        guard beginStart() else { return }
        defer { endChange() }
        // Another caller may have started it meanwhile.
        guard flushes.wantsHelp else { return }
        crew.join()
        self.lead = consume lead
        flushes.setHelped(true)
        do throws(AccessError) {
            try crew.start(1, Unmanaged.passUnretained(self).toOpaque()) { argument in
                signal_stack_prepare()
                Unmanaged<FlushThread>.fromOpaque(argument!)._withUnsafeGuaranteedRef { $0.work() }
                return nil
            }
        } catch {
            flushes.setHelped(false)
            monitor.withLock { nextStart = MonotonicClock.milliseconds + FlushThread.retryInterval }
        }
    }

    /// Ends the thread, if there is one, and waits until it has ended. Callers that wait for a flush lead it by
    /// themselves.
    func end() {
        beginEnd()
        defer { endChange() }
        flushes.setHelped(false)
        crew.join()
        lead = nil
    }

    private func work() {
        guard let lead else { preconditionFailure("a thread is started with its work") }
        flushes.help(patience: patience, lead)
    }

    // MARK: One change at a time

    private func beginStart() -> Bool {
        monitor.withLock {
            guard !isChanging, MonotonicClock.milliseconds >= nextStart else { return false }
            isChanging = true
            return true
        }
    }

    private func beginEnd() {
        monitor.withLock {
            while isChanging { monitor.wait() }
            isChanging = true
        }
    }

    private func endChange() {
        monitor.withLock {
            isChanging = false
            monitor.wakeAll()
        }
    }
}
