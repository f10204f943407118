import ArgumentParser

/// The command line tool: measures and simulates the pager without a server.
@main
struct FlexpageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flexpage",
        abstract: "Measure and simulate Flexpage's pager without nbdkit.",
        subcommands: [Measure.self, Simulate.self])
}
