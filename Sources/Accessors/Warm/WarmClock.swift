import Glibc

/// Tells the thread that keeps a warm file when a list is due. Tests have one that they drive.
public protocol WarmClock: Sendable {
    /// Waits until the next list is due.
    /// - Returns: False if it is the last one.
    func wait() -> Bool
    /// The last list is due now. Any thread.
    func end()
}

/// A list is due every minute.
public final class MinuteClock: WarmClock, @unchecked Sendable {
    private let room: UnsafeMutablePointer<Room>
    private let seconds: Int

    private struct Room {
        var mutex = pthread_mutex_t()
        var condition = pthread_cond_t()
        var isAtEnd = false
    }

    public init(seconds: Int = 60) {
        self.seconds = seconds
        room = .allocate(capacity: 1)
        room.initialize(to: Room())
        pthread_mutex_init(room.pointer(to: \.mutex)!, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(room.pointer(to: \.condition)!, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(room.pointer(to: \.condition)!)
        pthread_mutex_destroy(room.pointer(to: \.mutex)!)
        room.deallocate()
    }

    public func wait() -> Bool {
        var until = timespec()
        clock_gettime(CLOCK_MONOTONIC, &until)
        until.tv_sec += seconds
        pthread_mutex_lock(room.pointer(to: \.mutex)!)
        defer { pthread_mutex_unlock(room.pointer(to: \.mutex)!) }
        while !room.pointee.isAtEnd {
            let result = pthread_cond_timedwait(
                room.pointer(to: \.condition)!, room.pointer(to: \.mutex)!, &until)
            if result == ETIMEDOUT { break }
        }
        return !room.pointee.isAtEnd
    }

    public func end() {
        pthread_mutex_lock(room.pointer(to: \.mutex)!)
        room.pointee.isAtEnd = true
        pthread_cond_broadcast(room.pointer(to: \.condition)!)
        pthread_mutex_unlock(room.pointer(to: \.mutex)!)
    }
}
