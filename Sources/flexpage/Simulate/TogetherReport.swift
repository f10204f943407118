/// What traces find in memory if each has it alone, and if they share it.
struct TogetherReport {
    /// The figures of one trace, alone and together with the others.
    struct Row {
        let alone: Figures
        let together: Figures

        /// The hits together as a share of those alone; nil if there were none.
        var kept: Double? { alone.hits == 0 ? nil : Double(together.hits) / Double(alone.hits) }
    }

    private(set) var rows: [Row] = []

    /// - Precondition: Both are figures of the same traces, in the same order.
    mutating func add(alone: [Figures], together: [Figures]) {
        precondition(alone.map(\.trace) == together.map(\.trace), "the same traces are compared")
        rows += zip(alone, together).map { Row(alone: $0, together: $1) }
    }

    /// A table for people.
    var table: String {
        var table = TextTable(titles: [
            "trace", "memory", "pages", "requests", "4 KiB read", "hits alone", "together", "kept",
        ])
        for row in rows {
            table.add([
                row.alone.trace, MemorySize(bytes: row.alone.memory).text, row.alone.way.title,
                "\(row.alone.requests)", "\(row.together.pagesRead)", "\(row.alone.hits)", "\(row.together.hits)",
                row.kept.map { "\(($0 * 100).text(digits: 1)) %" } ?? "",
            ])
        }
        return table.text
    }

    /// An array with an object for each trace, amount of memory and way of paging.
    var json: String {
        let objects = rows.map { row in
            "  {\"alone\": \(Report.object(row.alone)), \"together\": \(Report.object(row.together))}"
        }
        return "[\n" + objects.joined(separator: ",\n") + "\n]"
    }
}
