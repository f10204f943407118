import TestSupport

/// Cuts the power at moments of a finished workload, and checks every image that may be left.
///
/// What is durable by then is on it. Of every other write begun by then, each sector may be there or not, whatever
/// became of its neighbours. So each sector of the images that may be left has one of a few values, and the promise
/// also covers each sector alone. Checking every value that a sector may have therefore checks all images at once. Some
/// whole images are built all the same, with writes there, absent and torn, to test this argument itself.
struct PowerLoss {
    /// How much was checked, and what was found.
    struct Numbers {
        var workloads = 0
        var crashPoints = 0
        var sectorsChecked = 0
        var images = 0
        var violations = 0

        static func += (sum: inout Numbers, more: Numbers) {
            sum.workloads += more.workloads
            sum.crashPoints += more.crashPoints
            sum.sectorsChecked += more.sectorsChecked
            sum.images += more.images
            sum.violations += more.violations
        }
    }

    let oracle: Oracle
    private var sectors: Int { oracle.originals.count }
    private let history: [ImageRecord]
    private let syncs: [ImageRecord]
    /// For each sector its records, in order.
    private let writes: [[Int32]]
    private static let imagesPerCrash = 3

    init(_ oracle: Oracle, _ history: [ImageRecord]) {
        self.oracle = oracle
        let writing = history.filter { $0.kind == .write }.sorted { $0.start < $1.start }
        var writes: [[Int32]] = Array(repeating: [], count: oracle.originals.count)
        for (index, record) in writing.enumerated() {
            for sector in record.sectors { writes[sector].append(Int32(index)) }
        }
        self.writes = writes
        self.history = writing
        syncs = history.filter { $0.kind == .sync }.sorted { $0.start < $1.start }
    }

    /// Moments of a workload.
    enum Moments {
        /// Right after each promise.
        case promises
        case all
    }

    /// Crashes at every moment of the workload, or only right after each promise.
    ///
    /// When a write to a sector begins on the image, a crash may leave one more value there. When a sync ends, fewer.
    /// When a command begins, the sector is allowed one more value. When a promise is given, fewer. Nothing else
    /// changes either. So if a crash can ever leave a value that is not allowed, it can right after a write to the
    /// sector has begun, or right after a promise. The check at these moments is the check at every step.
    func check(_ moments: Moments, _ verdict: Verdict) -> Numbers {
        var numbers = Numbers(workloads: 1)
        let promises = Set(oracle.promises).sorted().map(moment)
        let begins = history.map { moment($0.start + 1) }
        numbers.crashPoints = promises.count + (moments == .all ? begins.count : 0)
        for sector in 0..<sectors where !isLikeTheOneBefore(sector) {
            guard !writes[sector].isEmpty || oracle.isChanged(sector) else { continue }
            if moments == .all {
                for index in writes[sector] { check(sector, at: begins[Int(index)], &numbers, verdict) }
            }
            for promise in promises { check(sector, at: promise, &numbers, verdict) }
        }
        return numbers
    }

    /// A moment, and the beginning of the last flush that had been answered by then.
    private typealias Moment = (time: UInt64, promise: UInt64)

    private func moment(_ time: UInt64) -> Moment { (time, oracle.lastPromise(before: time)) }

    /// Whether the same commands and the same writes gave this sector and the one before it the same values. If one of
    /// them is right at every moment, the other one is too.
    private func isLikeTheOneBefore(_ sector: Int) -> Bool {
        guard sector > 0, writes[sector] == writes[sector - 1], oracle.areChangedAlike(sector, sector - 1) else {
            return false
        }
        return writes[sector].allSatisfy { index in
            let (values, first) = (history[Int(index)].values, history[Int(index)].sectors.lowerBound)
            return values[sector - first] == values[sector - 1 - first]
        }
    }

    /// Checks every value with which a crash at a moment may leave a sector.
    private func check(_ sector: Int, at moment: Moment, _ numbers: inout Numbers, _ verdict: Verdict) {
        let time = moment.time
        let allowed = oracle.allowed(in: sector, afterCrashAt: time, promise: moment.promise)
        numbers.sectorsChecked += 1
        for value in left(of: sector, at: time) where !allowed.contains(value) {
            numbers.violations += 1
            verdict.blame(
                "after a crash at \(time) sector \(sector) may be \(oracle.describe(value)), and must be one of "
                    + "\(allowed.map(oracle.describe))\(oracle.story(sector, before: time))"
                    + story(sector, before: time))
        }
    }

    /// Crashes right after each promise, or after `points` of them, and at as many other moments up to `end`.
    func check(points: Int, end: UInt64, _ random: inout SplitMix64, _ verdict: Verdict) -> Numbers {
        var numbers = Numbers(workloads: 1)
        var times = Array(oracle.promises.shuffled(using: &random).prefix(points))
        for _ in 0..<points { times.append(1 + random.next() % end) }
        times.append(end + 1)
        for time in times { crash(at: time, &random, &numbers, verdict) }
        return numbers
    }

    private func crash(at time: UInt64, _ random: inout SplitMix64, _ numbers: inout Numbers, _ verdict: Verdict) {
        numbers.crashPoints += 1
        let moment = moment(time)
        let images = (0..<PowerLoss.imagesPerCrash).map { image(at: time, style: $0, &random) }
        numbers.images += images.count
        for sector in 0..<sectors where !writes[sector].isEmpty || oracle.isChanged(sector) {
            check(sector, at: moment, &numbers, verdict)
            let left = left(of: sector, at: time)
            for image in images where !left.contains(image[sector]) {
                verdict.blame("sector \(sector) of a built image is not what it may be: the test is wrong")
            }
        }
    }

    /// The values that a sector may be left with.
    private func left(of sector: Int, at time: UInt64) -> [UInt32] {
        var durable: UInt64 = 0
        for index in writes[sector] where history[Int(index)].durableAt < time {
            durable = max(durable, history[Int(index)].start)
        }
        var values = durable == 0 ? [oracle.originals[sector]] : []
        for index in writes[sector] where history[Int(index)].start < time && history[Int(index)].end >= durable {
            values.append(history[Int(index)].values[sector - history[Int(index)].sectors.lowerBound])
        }
        return values
    }

    /// An image that may be left. In `style` 0 each write that is not durable is there, in 1 it is absent, in 2 it is
    /// either or torn.
    private func image(at time: UInt64, style: Int, _ random: inout SplitMix64) -> [UInt32] {
        var image = oracle.originals
        for record in history where record.start < time {
            let fate = record.durableAt < time ? 0 : style == 2 ? random.pick(0...2) : style
            guard fate != 1 else { continue }
            for (sector, value) in zip(record.sectors, record.values) where fate == 0 || random.once(in: 2) {
                image[sector] = value
            }
        }
        return image
    }

    private func story(_ sector: Int, before time: UInt64) -> String {
        let syncs = syncs.filter { $0.start < time }.suffix(6).map {
            "\n    on the image: sync \($0.start)...\($0.end) failed \($0.hasFailed)"
        }
        return writes[sector].map { history[Int($0)] }.filter { $0.start < time }.suffix(8).map {
            let value = oracle.describe($0.values[sector - $0.sectors.lowerBound])
            let durable = $0.durableAt == ImageRecord.never ? "never durable" : "durable at \($0.durableAt)"
            return "\n    on the image: \(value) \($0.start)...\($0.end) failed \($0.hasFailed) \(durable)"
        }.joined() + syncs.joined()
    }
}
