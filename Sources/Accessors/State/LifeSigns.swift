import Glibc
import Paging
import Synchronization

/// Notes in the header of a state, fifty times a second, that this process is alive, until `end`. So what it changes in
/// an image meanwhile does not count as foreign, however slow the disk is. A thread; if there is none, only the
/// beginning and the end are noted.
final class LifeSigns: @unchecked Sendable {
    private let state: KeptState
    private let isOver = Atomic<Bool>(false)
    private var thread: pthread_t?

    init(_ state: KeptState) {
        self.state = state
        state.noteAlive()
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(self)
        let answer = pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<LifeSigns>.fromOpaque(argument!).takeRetainedValue().noteUntilOver()
                return nil
            }, argument.toOpaque())
        if answer == 0 { self.thread = thread } else { argument.release() }
    }

    private func noteUntilOver() {
        while !isOver.load(ordering: .acquiring) {
            state.noteAlive()
            usleep(20_000)
        }
    }

    /// Ends the thread. Called once.
    func end() {
        isOver.store(true, ordering: .releasing)
        if let thread { pthread_join(thread, nil) }
        state.noteAlive()
    }
}
