import ArgumentParser

/// The command line tool: measures and simulates the pager without a server, and looks after what one has left.
@main
struct FlexpageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flexpage",
        abstract: "Measure and simulate Flexpage's pager without nbdkit, and look after what a server has left.",
        subcommands: subcommands)

    private static var subcommands: [any ParsableCommand.Type] {
        #if FLEXPAGE_SCHEDULED
            [Measure.self, Simulate.self, StateCommand.self, Fuzz.self]
        #else
            [Measure.self, Simulate.self, StateCommand.self]
        #endif
    }
}
