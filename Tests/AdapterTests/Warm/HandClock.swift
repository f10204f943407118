import Accessors
import Glibc

/// A clock that a test drives: a list is due when the test says so.
final class HandClock: WarmClock {
    private struct State {
        var due = 0
        var waits = 0
        var isAtEnd = false
    }

    private let state = Guarded(State())

    func wait() -> Bool {
        state.withLock { $0.waits += 1 }
        while true {
            let answer = state.withLock { state -> Bool? in
                if state.isAtEnd { return false }
                guard state.due > 0 else { return nil }
                state.due -= 1
                return true
            }
            if let answer { return answer }
            usleep(500)
        }
    }

    func end() { state.withLock { $0.isAtEnd = true } }

    /// A minute is over. Returns when the list that was due is written, or has failed.
    func tick() {
        let waits = state.withLock { state in
            state.due += 1
            return state.waits
        }
        while state.withLock({ $0.waits <= waits || $0.due > 0 }) { usleep(500) }
    }
}
