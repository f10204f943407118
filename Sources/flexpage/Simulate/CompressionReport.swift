/// The results of simulations with a second tier, in order, and their formats.
struct CompressionReport {
    private(set) var rows: [CompressionFigures] = []
    /// What `ImageContent` the costs are of.
    let image: String
    let costs: CompressionCosts

    mutating func add(_ new: CompressionFigures) { rows.append(new) }

    /// The same without a tier, if it was simulated.
    private func without(_ row: CompressionFigures) -> CompressionFigures? {
        rows.first {
            $0.share == 0 && $0.memory == row.memory && $0.figures.trace == row.figures.trace
                && $0.figures.way == row.figures.way
        }
    }

    /// The time as a share of that without a tier; nil if there is none to compare with.
    func ratio(_ row: CompressionFigures, _ source: SimulatedSource) -> Double? {
        guard let seconds = without(row)?.seconds(source), seconds > 0 else { return nil }
        return row.seconds(source) / seconds
    }

    // MARK: Table

    /// A table for people, with what the figures rest on.
    var table: String {
        var table = TextTable(
            titles: [
                "trace", "memory", "pages", "tier", "miss ratio", "from the tier", "reads", "waited for", "MiB read",
                "processor s",
            ] + SimulatedSource.allCases.flatMap { ["\($0.rawValue) s", "ratio"] })
        for row in rows { table.add(cells(row)) }
        return ([table.text, ""] + notes).joined(separator: "\n")
    }

    private func cells(_ row: CompressionFigures) -> [String] {
        let figures = row.figures
        return [
            figures.trace, MemorySize(bytes: row.memory).text, figures.way.title, "\(row.share) %",
            figures.missRatio.text(digits: 4), "\(row.work.taken)", "\(figures.traffic.reads)",
            "\(figures.readsAwaited)", (Double(figures.traffic.bytesRead) / 1_048_576).text(digits: 1),
            row.processorSeconds.text(digits: 2),
        ]
            + SimulatedSource.allCases.flatMap { source in
                [row.seconds(source).text(digits: 2), ratio(row, source)?.text(digits: 3) ?? ""]
            }
    }

    /// What a simulation has met, but none of the pages with which the costs were measured: its costs count as 0.
    private var unmeasured: [String] {
        var sentences: [String] = []
        if costs.kept == 0, rows.contains(where: { $0.work.kept > 0 }) {
            sentences.append(
                "None of the pages that were measured is worth keeping, but some in the simulations are: to keep them "
                    + "and to take them back counts as no time.")
        }
        if costs.refused == 0, rows.contains(where: { $0.work.refused > 0 }) {
            sentences.append(
                "None of the pages that were measured is refused, but some in the simulations are: to refuse them "
                    + "counts as no time.")
        }
        return sentences
    }

    private var notes: [String] {
        [
            "\(image): of \(costs.pages) pages of 4 KiB from all over it, \(costs.zeroes) are zeroes. Of the others, "
                + "\((costs.keptShare * 100).text(digits: 0)) % compress to three quarters or less; all of them take "
                + "\(costs.ratio.text(digits: 2)) times less.",
            "LZ4 on this machine: \(costs.keeping.text(digits: 1)) µs to keep a page, "
                + "\(costs.refusing.text(digits: 1)) µs to refuse one, "
                + "\(costs.taking.text(digits: 1)) µs to take one back.",
        ] + SimulatedSource.allCases.map { "\($0.rawValue): \($0.explanation)" }
            + ["Times are those, and the tier's processor time. A ratio is to the time without a tier."] + unmeasured
    }

    // MARK: JSON

    /// An array with an object for each simulation.
    var json: String { "[\n" + rows.map { "  \(object($0))" }.joined(separator: ",\n") + "\n]" }

    private func object(_ row: CompressionFigures) -> String {
        let (work, costs) = (row.work, row.costs)
        let members =
            [
                "\"memory\": \(row.memory)", "\"share\": \(row.share)", "\"pager\": \(Report.object(row.figures))",
                "\"kept\": \(work.kept)", "\"refused\": \(work.refused)", "\"taken\": \(work.taken)",
                "\"pagesAtEnd\": \(row.pages)", "\"processorSeconds\": \(row.processorSeconds.text(digits: 6))",
                "\"costs\": {\"keeping\": \(costs.keeping.text(digits: 3)), "
                    + "\"refusing\": \(costs.refusing.text(digits: 3)), \"taking\": \(costs.taking.text(digits: 3)), "
                    + "\"keptShare\": \(costs.keptShare.text(digits: 4)), \"ratio\": \(costs.ratio.text(digits: 4))}",
            ] + SimulatedSource.allCases.map { "\"\($0.rawValue)\": \(row.seconds($0).text(digits: 6))" }
        return "{\(members.joined(separator: ", "))}"
    }
}
