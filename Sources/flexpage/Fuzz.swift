#if FLEXPAGE_SCHEDULED
    import ArgumentParser
    import Glibc
    import Paging
    import Schedules

    /// `flexpage fuzz`: runs the pager in orders of events that seeds draw, until one fails or the time is up.
    struct Fuzz: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "fuzz",
            abstract: "Run the pager's threads in many orders of events, until one fails.")

        @Option(help: "The first seed. Each schedule has its own, counted up from here.")
        var seed: UInt64 = 1

        @Option(help: "How long, in seconds. The default is 60, or no limit with --schedules.")
        var seconds: Int?

        @Option(help: "The number of schedules of each scenario. The default is as many as the time allows.")
        var schedules: Int?

        @Option(help: "Run one scenario only: \(Scenario.all.map(\.name).joined(separator: ", ")).")
        var scenario: String?

        @Flag(help: "Print the steps of the schedule that --scenario and --seed name, and exit.")
        var trace = false

        /// The maximum number of schedules of a scenario before the next scenario has its turn.
        private static let perRound = 500

        func validate() throws {
            if trace, scenario == nil { throw ValidationError("--trace needs a --scenario") }
            if let scenario, Scenario.named(scenario) == nil {
                throw ValidationError("unknown scenario \(scenario); see --help")
            }
        }

        func run() throws {
            if trace, let scenario = scenario.flatMap(Scenario.named) {
                return print(Replay(scenario, seed: seed).trace())
            }
            let scenarios = scenario.flatMap(Scenario.named).map { [$0] } ?? Scenario.all
            let begin = Hunt.milliseconds
            let deadline = seconds.map { begin + $0 * 1000 } ?? (schedules == nil ? begin + 60_000 : nil)
            var first = seed
            repeat {
                for scenario in scenarios { try hunt(scenario, first, deadline) }
                first &+= UInt64(schedules ?? Fuzz.perRound)
            } while schedules == nil && Hunt.milliseconds < deadline!
        }

        private func hunt(_ scenario: Scenario, _ first: UInt64, _ deadline: Int?) throws {
            let count = schedules ?? min(Fuzz.perRound, scenario.share(of: Fuzz.perRound))
            let begin = Hunt.milliseconds
            let result = Hunt(scenario, firstSeed: first, count: count, deadline: deadline).run()
            let seconds = Double(max(1, Hunt.milliseconds - begin)) / 1000
            print(
                "\(scenario.name) from seed \(first): \(result.schedules) schedules, \(result.steps) steps, "
                    + "\(Int(Double(result.schedules) / seconds)) schedules/s, "
                    + "\(Int(Double(result.steps) / seconds)) steps/s")
            // A child must not print this again.
            fflush(nil)
            guard let finding = result.finding else { return }
            print("\(finding.scenario), seed \(finding.seed): \(finding.failure)\nagain: \(finding.command)")
            fflush(nil)
            var shrinker = Shrinker(finding)
            let (replay, failure) = shrinker.run()
            print("shrunk to\n\(replay.description)\nwhich fails so: \(failure)")
            throw ExitCode.failure
        }
    }
#endif
