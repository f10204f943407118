/// The draws of one schedule. The strategy makes them. They are kept, so that the schedule can be replayed and shrunk.
struct Draws {
    let strategy: Strategy
    private var random: SplitMix
    /// For each draw, the option taken and the number of options.
    private(set) var taken: [UInt8] = []
    private(set) var options: [UInt8] = []
    private var nextDeviation = 0
    /// Whether anything is drawn. If not, each draw takes option 0.
    var isOpen = false
    /// Of 256 steps at which a walk could leave the running thread, the number that do not.
    private let stay: Int
    /// Steps at which the running thread gets the lowest priority, in ascending order.
    private var changes: [Int] = []
    private var nextChange = 0
    private var lowestPriority = 0

    /// Where each draw is written at once, so that another process can read it if this one dies.
    private let journal: Journal?

    init(seed: UInt64, _ strategy: Strategy, _ journal: Journal?) {
        self.strategy = strategy
        self.journal = journal
        random = SplitMix(seed: seed)
        stay = [0, 64, 192, 240][random.below(4)]
        if strategy == .priorities {
            // The length of a schedule is not known beforehand, so a length and its double are equally likely.
            let length = 1 << (4 + random.below(8))
            changes = (0..<1 + random.below(5)).map { [length = length] _ in random.below(length) }.sorted()
        }
        taken.reserveCapacity(8192)
        options.reserveCapacity(8192)
    }

    /// One of `count` options. If the strategy does not prescribe it, `pick` draws it at random.
    private mutating func draw(_ count: Int, _ pick: (inout SplitMix) -> Int) -> Int {
        guard count > 1, isOpen else { return 0 }
        let index = taken.count
        var option = 0
        if case .deviations(let deviations) = strategy {
            while nextDeviation < deviations.count, deviations[nextDeviation].draw < index { nextDeviation += 1 }
            if nextDeviation < deviations.count, deviations[nextDeviation].draw == index {
                option = min(deviations[nextDeviation].option, count - 1)
            }
        } else {
            option = pick(&random)
        }
        taken.append(UInt8(option))
        options.append(UInt8(min(count, 255)))
        journal?.append(UInt8(option))
        return option
    }

    /// One of `count` options, all equally likely.
    mutating func any(_ count: Int) -> Int { draw(count) { $0.below(count) } }

    /// True once in `times` draws on average; false by default, and always if `times` is 0.
    mutating func once(in times: Int) -> Bool { times > 0 && draw(2) { $0.below(times) == 0 ? 1 : 0 } == 1 }

    /// A priority for a new thread.
    mutating func priority() -> Int { strategy == .priorities ? 1 + random.below(1 << 30) : 0 }

    /// Which of `count` threads continues at `step`, counted from where drawing began. Option 0 is the running thread,
    /// if `isRunningReady`.
    /// - Parameter isFair: All threads are equally likely, whatever the strategy, so that a long schedule can end.
    mutating func thread(
        of count: Int, isRunningReady: Bool, step: Int, isFair: Bool, priority: (Int) -> Int, lower: (Int) -> Void
    ) -> Int {
        let stay = stay
        var change = false
        while nextChange < changes.count, changes[nextChange] <= step {
            nextChange += 1
            change = isRunningReady
        }
        if change {
            lowestPriority -= 1
            lower(lowestPriority)
        }
        guard !isFair else { return random.below(count) }
        let byPriority = strategy == .priorities
        return draw(count) { random in
            if byPriority { return (0..<count).max { priority($0) < priority($1) }! }
            if isRunningReady, random.below(256) < stay { return 0 }
            return random.below(count)
        }
    }
}
