import ArgumentParser

/// The command line tool: attaches exports to this machine, looks after what a server has left, and measures and
/// simulates the pager without a server.
@main
struct FlexpageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flexpage",
        abstract: "Attach exports to this machine, watch servers, look after state files, and simulate the pager.",
        version: version,
        subcommands: subcommands)

    /// The plugin's version (Interface.h).
    private static let version = "0.2.0"

    private static var subcommands: [any ParsableCommand.Type] {
        #if FLEXPAGE_SCHEDULED
            [StateCommand.self, Measure.self, Simulate.self, Fuzz.self]
        #else
            [
                Attach.self, Detach.self, Top.self, SetCommand.self, Metrics.self, Advise.self, StateCommand.self,
                Warm.self,
                Measure.self, Simulate.self,
            ]
        #endif
    }
}
