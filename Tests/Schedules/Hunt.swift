import Glibc
import Paging
import Scheduling

/// Runs the schedules of one scenario, one seed after the other, until one fails or enough have been run.
///
/// They run in child processes, one per processor, because a schedule that fails leaves threads behind or crashes.
public struct Hunt {
    public struct Result: Sendable {
        public var schedules = 0
        public var steps = 0
        public var finding: Finding?
    }

    public let scenario: Scenario
    public let firstSeed: UInt64
    public let count: Int
    /// The time after which no schedule is begun, in milliseconds of the system's clock.
    public var deadline: Int?

    /// A child runs this many schedules before another child takes its place, because some leave threads behind.
    private static let schedulesOfChild = 250

    // The counters in which a child reports its progress.
    private static let done = 0
    private static let steps = 1
    private static let seed = 2

    public init(_ scenario: Scenario, firstSeed: UInt64 = 1, count: Int, deadline: Int? = nil) {
        self.scenario = scenario
        self.firstSeed = firstSeed
        self.count = count
        self.deadline = deadline
    }

    public func run() -> Result {
        var result = Result()
        var next = 0
        var children: [Isolated] = []
        let processors = max(1, min(8, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        while result.finding == nil, next < count || !children.isEmpty {
            while children.count < processors, next < count, !isLate {
                let part = next..<min(count, next + Hunt.schedulesOfChild)
                children.append(
                    Isolated(processor: (part.lowerBound / Hunt.schedulesOfChild) % processors) { run(part, $0) })
                next = part.upperBound
            }
            if children.isEmpty { break }
            take(children.removeFirst(), into: &result)
        }
        for child in children { take(child, into: &result) }
        return result
    }

    private var isLate: Bool { deadline.map { Hunt.milliseconds >= $0 } ?? false }

    private func take(_ child: Isolated, into result: inout Result) {
        let failure = child.result()
        result.schedules += child[Hunt.done]
        result.steps += child[Hunt.steps]
        if let failure, result.finding == nil {
            result.finding = Finding(
                scenario: scenario.name, seed: UInt64(child[Hunt.seed]), failure: failure, schedules: result.schedules)
        }
    }

    /// Runs the schedules of the seeds in `part`, in a child.
    private func run(_ part: Range<Int>, _ told: Isolated) -> String? {
        for index in part where !isLate {
            let seed = firstSeed &+ UInt64(index)
            told[Hunt.seed] = Int(bitPattern: UInt(seed))
            let outcome = Trial.run(scenario.plan(seed: seed), .drawn(for: seed))
            told[Hunt.done] += 1
            told[Hunt.steps] += outcome.steps
            if let failure = outcome.failure { return failure }
        }
        return nil
    }

    /// The time of the system's clock.
    public static var milliseconds: Int {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
    }
}
