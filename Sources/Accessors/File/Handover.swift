import Glibc

/// Clients of one image come and leave. Its writers keep others away (`WriteAccess`). If others may have changed it
/// meanwhile (`ChangeWatch`), what is cached of it is forgotten first.
///
/// Its mutex is held over all of that. So no second client is let in before the first has found out, and nobody writes
/// while the cache is being forgotten. `forget`, called under it, may wait for reads of the image that are under way.
/// It is a pthread_mutex_t, because Swift's own mutex misbehaves in a forked child. Thread rules: any thread, any time.
final class Handover: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private var watch: ChangeWatch
    private var writers = 0

    init(_ watch: ChangeWatch) {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        self.watch = watch
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Lets in one more writer, through `access`.
    /// - Parameter forget: Called before anybody may write, if others may have changed the image.
    func beginWriting(_ access: WriteAccess, _ forget: () -> Void) throws(ImageError.Problem) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        try access.begin()
        if writers == 0, watch.writersCame() { forget() }
        writers += 1
    }

    /// One writer leaves, whose data is on the image.
    func endWriting(_ access: WriteAccess) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        writers -= 1
        if writers == 0 { watch.writersLeave() }
        access.end()
    }

    /// A reader has come.
    /// - Parameter forget: See `beginWriting`.
    func beginReading(_ forget: () -> Void) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if writers == 0, watch.readersCame() { forget() }
    }

    /// Nobody has the image open any more. Its descriptors are closed after this.
    func rests() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        precondition(writers == 0, "an image rests when its writers have left")
        watch.rests()
    }

    /// The image has been opened again.
    /// - Returns: True if what is cached of it is good; see `ChangeWatch.resumes`.
    func resumes(_ descriptor: Int32) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return watch.resumes(descriptor)
    }
}
