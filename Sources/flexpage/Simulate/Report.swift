/// The results of all simulations of a command, in order, and their formats.
struct Report {
    private(set) var figures: [Figures] = []
    /// Whether writes were simulated as writes, which adds columns.
    let writes: Bool

    init(writes: Bool) { self.writes = writes }

    mutating func add(_ new: Figures) { figures.append(new) }

    /// The results with fixed pages to compare these with, if there are any.
    private func fixed(for other: Figures) -> Figures? {
        guard other.way != .fixed else { return nil }
        return figures.first { $0.way == .fixed && $0.trace == other.trace && $0.memory == other.memory }
    }

    private func saved(_ figures: Figures) -> Double? { fixed(for: figures).flatMap(figures.operationsSaved) }

    /// The mean miss ratio of this way of paging, over all traces and amounts of memory.
    func meanMissRatio(_ way: PagingWay) -> Double? {
        let ratios = figures.filter { $0.way == way }.map(\.missRatio)
        return ratios.isEmpty ? nil : ratios.reduce(0, +) / Double(ratios.count)
    }

    // MARK: Table

    /// A table for people, followed by the means.
    var table: String {
        var titles = ["trace", "memory", "pages", "requests", "4 KiB read", "miss ratio"]
        titles += ["reads", "waited for", "MiB read"]
        if writes { titles += ["writes", "MiB written"] }
        titles += ["KiB per read", "I/Os saved"]
        var table = TextTable(titles: titles)
        for figures in figures { table.add(row(figures)) }
        let means = PagingWay.allCases.compactMap { way in
            meanMissRatio(way).map { "mean miss ratio, \(way.title): \($0.text(digits: 4))" }
        }
        return ([table.text] + means).joined(separator: "\n")
    }

    private func row(_ figures: Figures) -> [String] {
        func mebibytes(_ bytes: Int) -> String { (Double(bytes) / 1_048_576).text(digits: 1) }
        var row = [
            figures.trace, MemorySize(bytes: figures.memory).text, figures.way.title, "\(figures.requests)",
            "\(figures.pagesRead)", figures.missRatio.text(digits: 4), "\(figures.traffic.reads)",
            "\(figures.readsAwaited)", mebibytes(figures.traffic.bytesRead),
        ]
        if writes { row += ["\(figures.traffic.writes)", mebibytes(figures.traffic.bytesWritten)] }
        row.append(figures.kibibytesPerRead.text(digits: 1))
        row.append(saved(figures).map { "\(($0 * 100).text(digits: 1)) %" } ?? "")
        return row
    }

    // MARK: JSON

    /// An array with an object for each simulation.
    var json: String {
        "[\n" + figures.map { "  \(Report.object($0, saved: saved($0)))" }.joined(separator: ",\n") + "\n]"
    }

    /// The results of one simulation.
    /// - Parameter saved: The share of I/Os that it saves, if that is known.
    static func object(_ figures: Figures, saved: Double? = nil) -> String {
        var members = [
            "\"trace\": \(quoted(figures.trace))", "\"memory\": \(figures.memory)",
            "\"frames\": \(figures.frames)", "\"pages\": \"\(figures.way.rawValue)\"",
            "\"requests\": \(figures.requests)", "\"pagesRead\": \(figures.pagesRead)",
            "\"misses\": \(figures.misses)", "\"missRatio\": \(figures.missRatio.text(digits: 6))",
            "\"reads\": \(figures.traffic.reads)", "\"readsAhead\": \(figures.readsAhead)",
            "\"bytesRead\": \(figures.traffic.bytesRead)",
            "\"writes\": \(figures.traffic.writes)", "\"bytesWritten\": \(figures.traffic.bytesWritten)",
        ]
        if let saved { members.append("\"operationsSaved\": \(saved.text(digits: 6))") }
        return "{\(members.joined(separator: ", "))}"
    }

    private static func quoted(_ text: String) -> String {
        let escaped = text.unicodeScalars.map { scalar in
            switch scalar {
            case "\"": "\\\""
            case "\\": "\\\\"
            case "\u{0}"..<" ": "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: String(scalar)
            }
        }
        return "\"\(escaped.joined())\""
    }
}
