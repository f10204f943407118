import Glibc

/// The end of a schedule before its threads have ended, and the report of who holds and waits for what.
extension Scheduler {
    /// Ends the schedule here, because something is wrong.
    public func fail(_ complaint: String) -> Never {
        _ = endWith(complaint)
        abandon()
    }

    /// Ends the schedule here without a failure. The other threads are left where they are.
    public func stop() -> Never {
        hasAbandoned = true
        sem_post(over)
        abandon()
    }

    func endWith(_ complaint: String) -> SimulatedThread? {
        failure = complaint + story()
        hasAbandoned = true
        sem_post(over)
        return nil
    }

    /// Which thread holds what, and which thread waits for what.
    private func story() -> String {
        var story = "\nafter \(steps) steps, \((now - 1_000_000_000_000) / 1_000_000) ms:"
        for thread in threads where thread.state != .ended {
            let request = thread.request.map { " in a \($0)" } ?? ""
            story += "\n    \(thread.name)\(request): \(describe(thread))"
        }
        return story
    }

    private func describe(_ thread: SimulatedThread) -> String {
        let at = "at \(thread.event.file):\(thread.event.line)"
        switch thread.state {
        case .ready: return "can go on \(at), \(thread.event.what)"
        case .lock:
            let lock = UnsafeMutableRawPointer(mutating: thread.place!)
            let owner = Int(Scheduler.owner(of: lock).pointee) - 1
            return "waits for \(name(of: lock)), which \(owner < 0 ? "nobody" : threads[owner].name) holds, \(at)"
        case .signal: return "waits for a signal of \(name(of: UnsafeMutableRawPointer(mutating: thread.place!))) \(at)"
        case .sleep: return "sleeps \(at)"
        case .join(let number): return "waits for the end of \(threads[number].name) \(at)"
        case .stopped: return "was stopped \(at), \(thread.event.what)"
        case .ended: return "has ended"
        }
    }

    /// Why the schedule has taken too long, or nil.
    func impatience() -> String? {
        if steps >= limits.steps { return "it does not come to its end" }
        guard draws.strategy.isFair else { return nil }
        for thread in threads where !thread.isBackground && thread.state != .stopped {
            if thread.state == .lock, steps - thread.waitsSince > limits.patience {
                return "\(thread.name) starves: it waits for a lock since step \(thread.waitsSince)"
            }
            if let request = thread.request, steps - thread.requestSince > limits.patience {
                return "\(thread.name) starves: its \(request) has begun at step \(thread.requestSince)"
            }
        }
        return nil
    }
}
