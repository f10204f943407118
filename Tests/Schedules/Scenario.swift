import TestSupport

/// A kind of workload. It makes a plan from a seed.
public struct Scenario: Sendable {
    public let name: String
    /// What it is about, for lists of scenarios.
    public let purpose: String
    /// It gets this many times as many schedules as others: more if its schedules are short and what it tests is rare.
    var factor = 1
    /// It gets only one schedule for this many of others, because each takes long.
    var divisor = 1
    let plan: @Sendable (inout SplitMix64) -> Plan

    func plan(seed: UInt64) -> Plan {
        var random = SplitMix64(seed: seed, stream: 7)
        var plan = plan(&random)
        plan.seed = seed
        return plan
    }

    /// The number of its schedules if others get `count`.
    public func share(of count: Int) -> Int { max(1, count * factor / divisor) }

    public static func named(_ name: String) -> Scenario? { all.first { $0.name == name } }

    /// Small requests of all kinds in the first `pages` base pages of an image.
    struct Mix: Sendable {
        var pages = 4
        var longest = 16
        /// The relative frequency of each kind.
        var reads = 6, writes = 8, zeroes = 1, trims = 1, flushes = 2, populates = 0, extents = 0, checks = 0,
            reopens = 0
        var forcedOnceIn = 6

        func request(_ random: inout SplitMix64, image: Int = 0) -> Request {
            let kinds: [(Request.Kind, Int)] = [
                (.read, reads), (.write, writes), (.zero, zeroes), (.trim, trims), (.flush, flushes),
                (.populate, populates), (.extents, extents), (.check, checks), (.reopen, reopens),
            ]
            var left = random.pick(1...kinds.reduce(0) { $0 + $1.1 })
            let kind = kinds.first { kind in
                left -= kind.1
                return left <= 0
            }!.0
            var request = Request(kind: kind, image: image)
            if kind != .flush, kind != .check, kind != .reopen {
                let count = random.length(upTo: longest)
                var first = random.pick(0...max(0, pages * 8 - count))
                if random.once(in: 2) { first = first / 8 * 8 }
                request.sectors = first..<min(first + count, pages * 8)
            }
            request.isForced = random.once(in: forcedOnceIn) && [.write, .zero, .trim].contains(kind)
            request.mayTrim = random.once(in: 2)
            request.onlyIfFast = random.once(in: 4)
            return request
        }

        func clients(_ count: Int, _ requests: Int, _ random: inout SplitMix64, images: Int = 1) -> [[Request]] {
            (0..<count).map { _ in
                (0..<requests).map { _ in request(&random, image: random.pick(0...images - 1)) }
            }
        }
    }
}
