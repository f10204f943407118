import ArgumentParser

/// The command line tool: what measures the pager without a server around it.
@main
struct FlexpageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flexpage",
        abstract: "Measures Flexpage's pager, and simulates it, outside of nbdkit.",
        subcommands: subcommands)

    private static var subcommands: [any ParsableCommand.Type] {
        #if FLEXPAGE_SCHEDULED
            [Measure.self, Simulate.self, Fuzz.self]
        #else
            [Measure.self, Simulate.self]
        #endif
    }
}

/// What can be measured.
struct Measure: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measures one thing and prints a table.",
        subcommands: [MeasureHit.self, MeasureMetadata.self, MeasureZeroes.self])
}
