import Glibc
import Scheduling

/// The `Lock` of the build in which a Scheduler runs the threads. Other builds have the one in Locking/Lock.swift.
/// While no Scheduler is active, it is the system's mutex.
struct Lock: @unchecked Sendable {
    let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let rank: LockRank

    init(
        in space: UnsafeMutablePointer<pthread_mutex_t>, _ rank: LockRank = .innermost,
        file: StaticString = #fileID
    ) {
        self.init(at: space, rank)
        if let scheduler = Scheduler.active { scheduler.make(space, file) } else { pthread_mutex_init(mutex, nil) }
    }

    init(at space: UnsafeMutablePointer<pthread_mutex_t>, _ rank: LockRank = .innermost) {
        mutex = space
        self.rank = rank
    }

    func lock(besideOthers: Bool = false, file: StaticString = #fileID, line: UInt = #line) {
        #if DEBUG
            rank.willLock(besideOthers: besideOthers)
        #endif
        if let scheduler = Scheduler.active { return scheduler.lock(mutex, file, line) }
        pthread_mutex_lock(mutex)
    }

    func unlock(file: StaticString = #fileID, line: UInt = #line) {
        #if DEBUG
            rank.didUnlock()
        #endif
        if let scheduler = Scheduler.active { return scheduler.unlock(mutex, file, line) }
        pthread_mutex_unlock(mutex)
    }

    func tryLock(file: StaticString = #fileID, line: UInt = #line) -> Bool {
        let isLocked = Scheduler.active?.tryLock(mutex, file, line) ?? (pthread_mutex_trylock(mutex) == 0)
        #if DEBUG
            if isLocked { rank.didLock() }
        #endif
        return isLocked
    }

    func assertHeld() {
        #if DEBUG
            rank.assertHeld()
        #endif
    }

    func withLock<Result: ~Copyable>(
        file: StaticString = #fileID, line: UInt = #line, _ body: () -> Result
    ) -> Result {
        lock(file: file, line: line)
        defer { unlock(file: file, line: line) }
        return body()
    }
}
