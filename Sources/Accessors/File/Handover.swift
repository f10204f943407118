import Glibc

/// Clients of one image come and leave. Its writers keep others away (`WriteAccess`); where others may have changed it
/// meanwhile (`ChangeWatch`), what is cached of it is forgotten first.
///
/// Its mutex is held over all of that, so that no second client is let in before the first has found out, and nobody
/// writes while the cache is being forgotten. What is called under it may wait for reads of the image that are under
/// way. It is a pthread_mutex_t, as Swift's own misbehaves in a forked child. Thread rules: any thread, any time.
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

    /// One writer more, who is let in by `access`.
    /// - Parameter forget: Called, before anybody may write, where the image may have been changed by others.
    func beginWriting(_ access: WriteAccess, _ forget: () -> Void) throws(ImageError.Problem) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        try access.begin()
        if writers == 0, watch.writersCame() { forget() }
        writers += 1
    }

    /// One writer less, whose data is on the image.
    func endWriting(_ access: WriteAccess) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        writers -= 1
        if writers == 0 { watch.writersLeave() }
        access.end()
    }

    /// A reader has come.
    /// - Parameter forget: As of `beginWriting`.
    func beginReading(_ forget: () -> Void) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if writers == 0, watch.readersCame() { forget() }
    }
}
