import Scheduling

/// The death of the process at a step of a schedule, and what comes after.
///
/// A fork of the process dies in its place, and the schedule continues. A fork has no thread but one. So the others
/// have stopped where they were, with whatever they held, as if the process had been killed. The heir, a thread that
/// begins then, finds the Memory, its tables and the images as they are at that step. They are the fork's own, so it
/// can do with them what it likes.
struct Death: Sendable {
    /// When the process dies.
    enum Moment: Sendable {
        /// At this step, counted from where the clients begin. A schedule that has ended before has no death.
        case step(Int)
        /// At each step, in a fork for each.
        case everyStep
    }

    let moment: Moment
    /// What the death leaves, for lists of requests.
    let heirName: String
    /// Adds what is wrong to the Trial's verdict.
    let heir: @Sendable (Trial) -> Void

    /// Brings the death to the schedule of `trial`.
    func threaten(_ trial: Trial) {
        let scheduler = Scheduler.active!
        scheduler.atEachStep = { [self, unowned scheduler] step in
            guard comes(at: step) else { return nil }
            let fork = Isolated { _ in
                scheduler.die {
                    heir(trial)
                    trial.endIfBlamed()
                }
            }
            return fork.result().map { "dead at step \(step): \($0)" }
        }
    }

    private func comes(at step: Int) -> Bool {
        switch moment {
        case .step(let number): step == number
        case .everyStep: true
        }
    }

    var description: String {
        switch moment {
        case .step(let number): "the process dies at step \(number), and leaves \(heirName)"
        case .everyStep: "the process dies at each step, and leaves \(heirName)"
        }
    }
}
