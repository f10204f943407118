import Glibc

/// Curves over the amount of memory, as SVG: miss ratios on the left, I/Os per 4 KiB read on the right. Each trace has
/// a colour, and each way of paging has a dash pattern.
struct Plot {
    private let figures: [Figures]
    private let traces: [String]
    /// Amounts of memory in bytes, ascending.
    private let memories: [Int]

    /// Pixels.
    private static let panel = (width: 380.0, height: 280.0, left: 60.0, top: 40.0, gap: 80.0)
    private static let width = panel.left + 2 * panel.width + panel.gap + 20
    private static let colours = [
        "#0b6e99", "#c8501e", "#2e7d32", "#7b3fa0", "#b58900", "#d6336c", "#3b3b98", "#5f6b6d",
    ]

    init(_ figures: [Figures]) {
        self.figures = figures
        var traces: [String] = []
        for trace in figures.map(\.trace) where !traces.contains(trace) { traces.append(trace) }
        self.traces = traces
        memories = Set(figures.map(\.memory)).sorted()
    }

    /// Writes the drawing to a file.
    /// - Throws: A TraceError that names the file.
    func write(to path: String) throws {
        guard let file = fopen(path, "w") else {
            throw TraceError(path, "cannot be written: \(String(cString: strerror(errno)))")
        }
        let hasFailed = fputs(svg, file) < 0
        guard fclose(file) == 0, !hasFailed else { throw TraceError(path, "could not be written completely") }
    }

    /// The drawing.
    var svg: String {
        let height = Plot.panel.top + Plot.panel.height + 60 + 18 * Double(traces.count)
        let right = Plot.panel.left + Plot.panel.width + Plot.panel.gap
        let lines =
            [
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(Plot.width.text(digits: 0))\" "
                    + "height=\"\(height.text(digits: 0))\" font-family=\"sans-serif\" font-size=\"12\">",
                "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
            ] + panel("miss ratio", at: Plot.panel.left) { $0.missRatio }
            + panel("I/Os per 4 KiB read", at: right) { figures in
                figures.pagesRead == 0 ? 0 : Double(figures.traffic.operations) / Double(figures.pagesRead)
            } + legend + ["</svg>"]
        return lines.joined(separator: "\n") + "\n"
    }

    private func panel(_ title: String, at left: Double, _ value: (Figures) -> Double) -> [String] {
        let maximum = max(figures.map(value).max() ?? 1, 0.001)
        let top = maximum <= 1 ? 1 : maximum
        var lines = [text(title, left, Plot.panel.top - 14, "start")]
        for step in 0...5 {
            let share = Double(step) / 5
            let y = height(share)
            lines.append(line((left, y), (left + Plot.panel.width, y), "stroke=\"#dddddd\""))
            lines.append(text((top * share).text(digits: 1), left - 8, y + 4, "end"))
        }
        for memory in memories {
            lines.append(
                text(MemorySize(bytes: memory).text, left + across(memory), height(0) + 18, "middle"))
        }
        for way in PagingWay.allCases {
            for (index, trace) in traces.enumerated() {
                lines += curve(figures.filter { $0.trace == trace && $0.way == way }, index, left) {
                    value($0) / top
                }
            }
        }
        return lines
    }

    private func curve(
        _ figures: [Figures], _ colour: Int, _ left: Double, _ share: (Figures) -> Double
    ) -> [String] {
        guard let first = figures.first else { return [] }
        let stroke = Plot.colours[colour % Plot.colours.count]
        let points = figures.sorted { $0.memory < $1.memory }.map { (left + across($0.memory), height(share($0))) }
        let path = points.map { "\($0.0.text(digits: 1)),\($0.1.text(digits: 1))" }.joined(separator: " ")
        let dashes = " stroke-dasharray=\"\(Plot.dashes(first.way))\""
        return ["<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(stroke)\" stroke-width=\"2\"\(dashes)/>"]
            + points.map {
                "<circle cx=\"\($0.0.text(digits: 1))\" cy=\"\($0.1.text(digits: 1))\" r=\"3\" fill=\"\(stroke)\"/>"
            }
    }

    private var legend: [String] {
        let top = height(0) + 46
        let ways = "dashed: fixed 4 KiB pages; dotted: flexpages; solid: flexpages with readahead"
        let note = text(ways, Plot.panel.left + 200, top, "start")
        return [note]
            + traces.enumerated().flatMap { index, trace in
                let y = top + 18 * Double(index)
                let stroke = "stroke=\"\(Plot.colours[index % Plot.colours.count])\" stroke-width=\"2\""
                return [
                    line((Plot.panel.left, y - 4), (Plot.panel.left + 24, y - 4), stroke),
                    text(trace, Plot.panel.left + 32, y, "start"),
                ]
            }
    }

    private static func dashes(_ way: PagingWay) -> String {
        switch way {
        case .fixed: "7 4"
        case .flexible: "2 3"
        case .ahead: "none"
        }
    }

    /// The horizontal position of an amount of memory, on a logarithmic scale.
    private func across(_ memory: Int) -> Double {
        guard let minimum = memories.first, let maximum = memories.last, maximum > minimum else {
            return Plot.panel.width / 2
        }
        return log2(Double(memory) / Double(minimum)) / log2(Double(maximum) / Double(minimum)) * Plot.panel.width
    }

    private func height(_ share: Double) -> Double { Plot.panel.top + Plot.panel.height * (1 - share) }

    private func line(_ from: (Double, Double), _ to: (Double, Double), _ style: String) -> String {
        "<line x1=\"\(from.0.text(digits: 1))\" y1=\"\(from.1.text(digits: 1))\" "
            + "x2=\"\(to.0.text(digits: 1))\" y2=\"\(to.1.text(digits: 1))\" \(style)/>"
    }

    private func text(_ text: String, _ x: Double, _ y: Double, _ anchor: String) -> String {
        let escaped = text.map { character in
            switch character {
            case "&": "&amp;"
            case "<": "&lt;"
            default: String(character)
            }
        }
        return "<text x=\"\(x.text(digits: 1))\" y=\"\(y.text(digits: 1))\" text-anchor=\"\(anchor)\">"
            + "\(escaped.joined())</text>"
    }
}
