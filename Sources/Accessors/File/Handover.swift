import Paging

/// Clients of one image come and leave. Its writers keep others away (`WriteAccess`). If others may have changed it
/// meanwhile (`ChangeWatch`), what is cached of it is forgotten first.
///
/// Its lock is held over all of that. So no second client is let in before the first has found out, and nobody writes
/// while the cache is being forgotten. `forget`, called under it, may wait for reads of the image that are under way.
/// Thread rules: any thread, any time.
final class Handover: Sendable {
    fileprivate struct State {
        var watch: ChangeWatch
        var writers = 0
        /// What the next server finds, if anything is kept.
        var record: StampRecord?
        /// How many calls had begun to change the image, and since when that number has not changed.
        var quiet: (begun: UInt64, since: Int)?
        /// The number of calls after which the image had no stamp that proves anything.
        var unprovable: UInt64?
    }

    private let state: Guarded<State>

    init(_ watch: ChangeWatch) { state = Guarded(State(watch: watch)) }

    /// Lets in one more writer, through `access`.
    /// - Parameter forget: Called before anybody may write, if others may have changed the image.
    func beginWriting(_ access: WriteAccess, _ forget: () -> Void) throws(ImageError.Problem) {
        try state.withLock { (state) throws(ImageError.Problem) in
            try access.begin()
            if state.writers == 0 {
                if state.watch.writersCame() { forget() }
                state.stamp(state.watch.provingStamp)
            }
            state.writers += 1
        }
    }

    /// One writer leaves, whose data is on the image.
    func endWriting(_ access: WriteAccess) {
        state.withLock { state in
            state.writers -= 1
            if state.writers == 0 {
                state.watch.writersLeave()
                state.stamp(state.watch.provingStamp)
            }
            access.end()
        }
    }

    /// A reader has come.
    /// - Parameter forget: See `beginWriting`.
    func beginReading(_ forget: () -> Void) {
        state.withLock { state in
            guard state.writers == 0, state.watch.readersCame() else { return }
            forget()
            state.stamp(state.watch.proof)
        }
    }

    // MARK: For the next server

    /// From now on `record` says what the image looks like.
    func keep(in record: StampRecord) {
        state.withLock { state in
            state.record = record
            state.stamp(state.writers == 0 ? state.watch.proof : state.watch.provingStamp)
        }
    }

    /// Whether a stamp should be taken. An image without writers has been stamped when the last one left. Does not
    /// wait, and calls nothing: whoever asks looks after all images.
    var isStampDue: Bool {
        var isDue = false
        state.withLockIfFree { isDue = $0.writers > 0 && $0.isStampDue }
        return isDue
    }

    /// Notes what the image looks like, unless it is being changed. Does not wait: what is called under the lock can
    /// wait for write-outs.
    /// - Returns: Whether it has looked.
    func noteStamp() -> Bool {
        var hasLooked = false
        state.withLockIfFree { state in
            if state.writers > 0 { hasLooked = state.noteStamp() }
        }
        return hasLooked
    }

    /// Notes what the image looks like after the last sync of an image that still has writers, unless it is being
    /// changed.
    func noteLastStamp() {
        state.withLock { state in
            if state.writers > 0 { state.noteLastStamp() }
        }
    }

    /// Judges whether the image is as another server has left it.
    func judge(
        _ record: KeptImage, owedEnd: Int64, alive: UInt64, _ sight: KeptJudgement.Sight
    ) -> KeptJudgement {
        state.withLock { state in
            var sight = sight
            sight.isLocked = state.writers == 0 && state.watch.isLockedElsewhere
            return state.watch.judge(record, owedEnd: owedEnd, alive: alive, sight)
        }
    }

    // MARK: Rest

    /// Nobody has the image open any more. Its descriptors are closed after this.
    func rests() {
        state.withLock { state in
            precondition(state.writers == 0, "an image rests when its writers have left")
            state.watch.rests()
        }
    }

    /// The image has been opened again.
    /// - Returns: True if what is cached of it is good; see `ChangeWatch.resumes`.
    func resumes(_ descriptor: Int32) -> Bool { state.withLock { $0.watch.resumes(descriptor) } }
}

extension Handover.State {
    /// Tells the next server what the image looks like. No call that changes it is under way.
    fileprivate mutating func stamp(_ stamp: ImageStamp?) {
        guard let record else { return }
        record.store(stamp, after: record.begunIfQuiet ?? .max)
    }

    /// Stamps an image with writers. A stamp proves something if the last change is some time ago. So it is taken once
    /// no call has begun for that long; while writes go on, it costs nothing.
    /// - Returns: Whether it has looked.
    fileprivate mutating func noteStamp() -> Bool {
        guard let record, let begun = record.begunIfQuiet else {
            quiet = nil
            return false
        }
        if record.isStamped(after: begun) { return false }
        guard let quiet, quiet.begun == begun else {
            quiet = (begun, MonotonicTime.now)
            return false
        }
        guard MonotonicTime.now - quiet.since >= ImageStamp.minSettlingTime else { return false }
        store(watch.newStamp(), after: begun, in: record)
        return true
    }

    /// The same without a look some time before: waits for the stamp to settle.
    fileprivate mutating func noteLastStamp() {
        guard let record, isStampDue, let begun = record.begunIfQuiet else { return }
        store(watch.settledStamp(), after: begun, in: record)
    }

    /// Stores a stamp that was taken after `begun` calls, none of which was under way, unless one has begun since.
    private mutating func store(_ stamp: ImageStamp?, after begun: UInt64, in record: StampRecord) {
        guard let stamp else {
            unprovable = begun
            return
        }
        if record.begunIfQuiet == begun { record.store(stamp, after: begun) }
    }

    fileprivate var isStampDue: Bool {
        guard let record, let begun = record.begunIfQuiet, begun != unprovable else { return false }
        return !record.isStamped(after: begun)
    }
}
