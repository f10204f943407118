/// Clients of one image come and leave. Its writers keep others away (`WriteAccess`). If others may have changed it
/// meanwhile (`ChangeWatch`), what is cached of it is forgotten first.
///
/// Its lock is held over all of that. So no second client is let in before the first has found out, and nobody writes
/// while the cache is being forgotten. `forget`, called under it, may wait for reads of the image that are under way.
/// Thread rules: any thread, any time.
final class Handover: Sendable {
    private struct State {
        var watch: ChangeWatch
        var writers = 0
    }

    private let state: Guarded<State>

    init(_ watch: ChangeWatch) { state = Guarded(State(watch: watch)) }

    /// Lets in one more writer, through `access`.
    /// - Parameter forget: Called before anybody may write, if others may have changed the image.
    func beginWriting(_ access: WriteAccess, _ forget: () -> Void) throws(ImageError.Problem) {
        try state.withLock { (state) throws(ImageError.Problem) in
            try access.begin()
            if state.writers == 0, state.watch.writersCame() { forget() }
            state.writers += 1
        }
    }

    /// One writer leaves, whose data is on the image.
    func endWriting(_ access: WriteAccess) {
        state.withLock { state in
            state.writers -= 1
            if state.writers == 0 { state.watch.writersLeave() }
            access.end()
        }
    }

    /// A reader has come.
    /// - Parameter forget: See `beginWriting`.
    func beginReading(_ forget: () -> Void) {
        state.withLock { state in
            if state.writers == 0, state.watch.readersCame() { forget() }
        }
    }

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
