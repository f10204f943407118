import Accessors
import Glibc

/// A clock that a test drives: a list is due when the test says so.
final class HandClock: WarmClock {
    private struct State {
        /// Minutes that are over, those of them that the thread has seen, and those whose list it has written.
        var due = 0
        var seen = 0
        var written = 0
        var isAtEnd = false
    }

    private let state = Guarded(State())

    func wait() -> Bool {
        state.withLock { $0.written = $0.seen }
        while true {
            let answer = state.withLock { state -> Bool? in
                if state.isAtEnd { return false }
                guard state.seen < state.due else { return nil }
                state.seen += 1
                return true
            }
            if let answer { return answer }
            usleep(500)
        }
    }

    func end() { state.withLock { $0.isAtEnd = true } }

    /// A minute is over. Returns when the list that was due is written, or has failed.
    func tick() {
        let due = state.withLock { state in
            state.due += 1
            return state.due
        }
        while state.withLock({ $0.written < due }) { usleep(500) }
    }
}
