import Glibc
import Scheduling

@testable import Schedules

/// The scheduler by itself: what it finds, and how it reports that.
enum SchedulerChecks {
    static let all = [aDeadlockIsTold, aLostSignalIsFound, starvationIsTold, timeIsVirtual, aLostUpdateIsFound]

    /// Memory for the locks and conditions of a schedule.
    private final class Objects: @unchecked Sendable {
        private let memory = UnsafeMutableRawPointer.allocate(byteCount: 1024, alignment: 64)
        var number = 0

        init(_ count: Int) {
            memset(memory, 0, 1024)
            for index in 0..<count { scheduler.make(self[index], #fileID) }
        }

        deinit { memory.deallocate() }

        subscript(index: Int) -> UnsafeMutableRawPointer { memory + index * 64 }
        var scheduler: Scheduler { Scheduler.active! }

        func lock(_ index: Int) { scheduler.lock(self[index], #fileID, #line) }
        func unlock(_ index: Int) { scheduler.unlock(self[index], #fileID, #line) }
        func step() { scheduler.step(Event("step", 0, #fileID, #line)) }

        func start(_ name: String, _ body: @escaping @Sendable (Objects) -> Void) -> Int {
            scheduler.start(name) { body(self) }
        }
    }

    /// The failures of `body` in the schedules of seeds 1 to `count`, each in a process of its own.
    private static func failures(
        _ count: UInt64 = 60, _ strategy: Strategy? = nil, _ limits: Scheduler.Limits = Scheduler.Limits(),
        _ body: @escaping @Sendable (Objects) -> Void
    ) -> [String] {
        (1...count).compactMap { seed in
            Isolated { _ in
                Scheduler.run(seed: seed, strategy ?? .drawn(for: seed), limits) {
                    Scheduler.active!.setDrawing(true)
                    body(Objects(2))
                }.failure
            }.result()
        }
    }

    static let aDeadlockIsTold = Check("a deadlock is found in some schedules, with who holds what") { complaints in
        let failures = failures { objects in
            let other = objects.start("other") { objects in
                objects.lock(1)
                objects.lock(0)
                objects.unlock(0)
                objects.unlock(1)
            }
            objects.lock(0)
            objects.lock(1)
            objects.unlock(1)
            objects.unlock(0)
            objects.scheduler.join(other)
        }
        complaints.expect((1..<60).contains(failures.count), "\(failures.count) of 60 schedules fail")
        for failure in failures {
            let isTold =
                failure.hasPrefix("nobody can go on") && failure.contains("#2, which other holds")
                && failure.contains("#1, which main holds")
            complaints.expect(isTold, failure)
        }
    }

    static let aLostSignalIsFound = Check("a signal that comes before its waiter is found to be lost") { complaints in
        for isLookedFor in [true, false] {
            let failures = failures { objects in
                let waiter = objects.start("waiter") { objects in
                    objects.lock(0)
                    if !isLookedFor || objects.number == 0 {
                        objects.scheduler.wait(objects[1], objects[0], #fileID, #line)
                    }
                    objects.unlock(0)
                }
                objects.lock(0)
                objects.number = 1
                objects.unlock(0)
                objects.scheduler.wakeAll(objects[1], #fileID, #line)
                objects.scheduler.join(waiter)
            }
            complaints.expect(failures.isEmpty == isLookedFor, "\(failures.count) fail, looked for: \(isLookedFor)")
            for failure in failures { complaints.expect(failure.contains("waiter: waits for a signal"), failure) }
        }
    }

    static let starvationIsTold = Check("starvation is told, and a schedule without an end") { complaints in
        var limits = Scheduler.Limits()
        limits.patience = 5000
        limits.steps = 40_000
        for (strategy, words) in [(Strategy.walk, "other starves"), (.priorities, "it does not come to its end")] {
            let failures = failures(4, strategy, limits) { objects in
                objects.lock(0)
                let other = objects.start("other") { objects in
                    objects.lock(0)
                    objects.number = 1
                    objects.unlock(0)
                }
                while objects.number == 0 { objects.step() }
                objects.scheduler.join(other)
            }
            complaints.expect(failures.count == 4, "\(failures.count) of 4 fail")
            for failure in failures {
                complaints.expect(failure.hasPrefix(words) && failure.contains("which main holds"), failure)
            }
        }
    }

    static let timeIsVirtual = Check("a sleeper wakes when its time has come, and nobody waits for that") {
        complaints in
        let begin = Hunt.milliseconds
        let failures = failures(20) { objects in
            let before = objects.scheduler.now
            let other = objects.start("other") { $0.scheduler.sleep(nanoseconds: 3_600_000_000_000) }
            objects.scheduler.sleep(nanoseconds: 1_000_000)
            objects.scheduler.join(other)
            if objects.scheduler.now < before + 3_600_000_000_000 { objects.scheduler.fail("woken too soon") }
        }
        complaints.expect(failures.isEmpty, "\(failures)")
        complaints.expect(Hunt.milliseconds - begin < 3_600_000, "somebody has slept")
    }

    static let aLostUpdateIsFound = Check("both strategies find a lost update in some schedules") { complaints in
        for strategy in [Strategy.walk, .priorities] {
            let failures = failures(100, strategy) { objects in
                let threads = (0..<2).map { number in
                    objects.start("thread \(number)") { objects in
                        let before = objects.number
                        objects.step()
                        objects.number = before + 1
                    }
                }
                for thread in threads { objects.scheduler.join(thread) }
                if objects.number != 2 { objects.scheduler.fail("an update is lost") }
            }
            complaints.expect((1..<100).contains(failures.count), "\(strategy): \(failures.count) of 100 fail")
        }
    }
}
