import Glibc

/// The models of locks, conditions and semaphores. Each call is a step.
extension Scheduler {
    // A lock's memory holds the number of its owner plus one, or 0 if it is free. The lock's own number follows. (For a
    // semaphore, the first word is its count.)
    static func owner(of lock: UnsafeMutableRawPointer) -> UnsafeMutablePointer<UInt32> {
        lock.assumingMemoryBound(to: UInt32.self)
    }

    private static func number(of object: UnsafeMutableRawPointer) -> UnsafeMutablePointer<UInt32> {
        object.assumingMemoryBound(to: UInt32.self) + 1
    }

    /// Makes a lock, condition or semaphore in `object`, which has at least 16 bytes. `file` is part of its name.
    /// - Parameter count: Signals that a semaphore has at first.
    public func make(_ object: UnsafeMutableRawPointer, _ file: StaticString, count: Int = 0) {
        let ordinal = objects.reduce(1) { $0 + ($1.file.utf8Start == file.utf8Start ? 1 : 0) }
        objects.append((file, ordinal))
        Scheduler.owner(of: object).pointee = UInt32(count)
        Scheduler.number(of: object).pointee = UInt32(objects.count)
    }

    func name(of object: UnsafeMutableRawPointer) -> String {
        let number = Int(Scheduler.number(of: object).pointee)
        guard number > 0, number <= objects.count else { return "a lock" }
        return "\(objects[number - 1].file) #\(objects[number - 1].ordinal)"
    }

    public func lock(_ lock: UnsafeMutableRawPointer, _ file: StaticString, _ line: UInt) {
        step(Event("lock", Int(Scheduler.number(of: lock).pointee), file, line))
        take(lock)
    }

    private func take(_ lock: UnsafeMutableRawPointer) {
        while Scheduler.owner(of: lock).pointee != 0 {
            running.place = UnsafeRawPointer(lock)
            block(.lock)
        }
        Scheduler.owner(of: lock).pointee = UInt32(running.number + 1)
    }

    public func tryLock(_ lock: UnsafeMutableRawPointer, _ file: StaticString, _ line: UInt) -> Bool {
        step(Event("try", Int(Scheduler.number(of: lock).pointee), file, line))
        guard Scheduler.owner(of: lock).pointee == 0 else { return false }
        Scheduler.owner(of: lock).pointee = UInt32(running.number + 1)
        return true
    }

    public func unlock(_ lock: UnsafeMutableRawPointer, _ file: StaticString, _ line: UInt) {
        giveUp(lock)
        step(Event("unlock", Int(Scheduler.number(of: lock).pointee), file, line))
    }

    private func giveUp(_ lock: UnsafeMutableRawPointer) {
        precondition(Scheduler.owner(of: lock).pointee == UInt32(running.number + 1), "its owner gives a lock up")
        Scheduler.owner(of: lock).pointee = 0
        for thread in threads where thread.state == .lock && thread.place == UnsafeRawPointer(lock) {
            thread.state = .ready
            thread.place = nil
        }
    }

    // MARK: Conditions

    /// Gives up the lock, waits, and takes the lock again. The wait ends with a signal, after `milliseconds`, or for no
    /// reason.
    public func wait(
        _ condition: UnsafeMutableRawPointer, _ lock: UnsafeMutableRawPointer, milliseconds: Int? = nil,
        _ file: StaticString, _ line: UInt
    ) {
        let event = Event("wait", Int(Scheduler.number(of: condition).pointee), file, line)
        running.event = event
        record(event)
        giveUp(lock)
        if draws.once(in: wakesForNothingOnceIn) {
            pass()
        } else {
            running.place = UnsafeRawPointer(condition)
            running.lock = lock
            running.deadline = milliseconds.map { now + $0 * 1_000_000 }
            block(.signal)
        }
        running.lock = nil
        running.deadline = nil
        take(lock)
    }

    public func wakeAll(_ condition: UnsafeMutableRawPointer, _ file: StaticString, _ line: UInt) {
        step(Event("wake all", Int(Scheduler.number(of: condition).pointee), file, line))
        for thread in threads where isWaiting(thread, for: condition) { wake(thread) }
    }

    /// Wakes one of the threads that wait, whichever.
    public func wakeOne(_ condition: UnsafeMutableRawPointer, _ file: StaticString, _ line: UInt) {
        step(Event("wake one", Int(Scheduler.number(of: condition).pointee), file, line))
        let waiting = threads.filter { isWaiting($0, for: condition) }
        if !waiting.isEmpty { wake(waiting[draws.any(waiting.count)]) }
    }

    private func isWaiting(_ thread: SimulatedThread, for object: UnsafeMutableRawPointer) -> Bool {
        thread.state == .signal && thread.place == UnsafeRawPointer(object)
    }

    // MARK: Semaphores

    public func post(_ semaphore: UnsafeMutableRawPointer, _ file: StaticString, _ line: UInt) {
        // The step comes first. Nothing touches the semaphore after the post: the thread that hears it may destroy it.
        step(Event("post", Int(Scheduler.number(of: semaphore).pointee), file, line))
        Scheduler.owner(of: semaphore).pointee += 1
        if let thread = threads.first(where: { isWaiting($0, for: semaphore) }) { wake(thread) }
    }

    public func hear(_ semaphore: UnsafeMutableRawPointer, _ file: StaticString, _ line: UInt) {
        step(Event("hear", Int(Scheduler.number(of: semaphore).pointee), file, line))
        while Scheduler.owner(of: semaphore).pointee == 0 {
            running.place = UnsafeRawPointer(semaphore)
            block(.signal)
        }
        Scheduler.owner(of: semaphore).pointee -= 1
    }
}
