import ArgumentParser

/// The command line tool: attaches exports to this machine, and measures and simulates the pager without a server.
@main
struct FlexpageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flexpage",
        abstract: "Attach exports to this machine; measure and simulate Flexpage's pager without nbdkit.",
        subcommands: subcommands)

    private static var subcommands: [any ParsableCommand.Type] {
        #if FLEXPAGE_SCHEDULED
            [Measure.self, Simulate.self, Fuzz.self]
        #else
            [Attach.self, Detach.self, Measure.self, Simulate.self]
        #endif
    }
}
