import ArgumentParser

/// The group of measuring commands.
struct Measure: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure one property of the pager.",
        subcommands: [MeasureHit.self, MeasureImages.self, MeasureMetadata.self, MeasureZeroes.self])
}
