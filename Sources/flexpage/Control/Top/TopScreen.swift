import Accessors

/// A report as lines of text that fit a screen.
struct TopScreen {
    private let report: TopReport
    private let order: TopOrder
    private let width: Int
    private let height: Int

    /// Columns and lines at least. What does not fit a smaller screen is cut off by the terminal.
    static let minWidth = 60
    static let minHeight = 8
    /// The maximum number of columns of the bar.
    private static let maxBar = 100
    /// Columns of all cells but the name, and the limits of that.
    private static let cells = 69
    private static let name = 10...32

    init(_ report: TopReport, by order: TopOrder, width: Int, height: Int) {
        self.report = report
        self.order = order
        self.width = max(width, TopScreen.minWidth)
        self.height = max(height, TopScreen.minHeight)
    }

    /// At most `height` lines of at most `width` columns.
    var lines: [String] {
        let head = [title, bar, memory, rates, ""]
        let table = table.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let room = height - head.count
        let rest = table.count > room ? table.prefix(room - 1) + ["  and \(table.count - room + 1) more"] : table[...]
        return (head + rest).map { String($0.prefix(width)) }
    }

    private var title: String {
        let exports = report.images.count == 1 ? "1 export" : "\(report.images.count) exports"
        return "flexpage \(report.version.withoutControls)  process \(report.pid)  \(exports) by \(order.rawValue)"
            + "  over \(Amount.seconds(report.seconds))"
    }

    /// The memory: `#` for clean pages, `*` for dirty ones, `=` for tables, blanks for what is free.
    private var bar: String {
        let columns = min(width, TopScreen.maxBar) - 2
        let parts = [
            (report.memory.cleanBytes, "#"), (report.memory.dirtyBytes, "*"), (report.memory.tableBytes, "="),
        ]
        var (text, sum) = ("", UInt64(0))
        for (bytes, sign) in parts {
            sum += bytes
            let end = Int((Double(sum) / Double(max(1, report.memory.heldBytes)) * Double(columns)).rounded())
            // What is there is seen, however little it is.
            let count = max(min(end, columns) - text.count, bytes > 0 && text.count < columns ? 1 : 0)
            text += String(repeating: sign, count: count)
        }
        return "[\(text)\(String(repeating: " ", count: columns - text.count))]"
    }

    private var memory: String {
        let memory = report.memory
        let bound = memory.heldBytes < memory.boundBytes ? " of \(Amount.bytes(memory.boundBytes))" : ""
        return "memory \(Amount.bytes(memory.heldBytes))\(bound): # clean \(Amount.bytes(memory.cleanBytes))"
            + "  * dirty \(Amount.bytes(memory.dirtyBytes))  = tables \(Amount.bytes(memory.tableBytes))"
            + "  free \(Amount.bytes(memory.freeBytes))  zeroes \(Amount.bytes(memory.knownZeroBytes))"
    }

    private var rates: String {
        let all = report.all
        return "hits \(Amount.percent(all.hitRatio)) %  read \(Amount.bytes(all.readBytes))/s"
            + "  from images \(Amount.bytes(all.filledBytes))/s in \(Amount.count(all.fills))/s"
            + "  to images \(Amount.bytes(all.writtenBytes))/s in \(Amount.count(all.writes))/s"
            + (all.errors > 0 ? "  ERRORS \(Amount.count(all.errors))/s" : "")
    }

    /// READ, FILL and WRITE are bytes a second; p50 and p99 are those of fills, FLUSH the p99 of flushes.
    private var table: String {
        let isAnyTroubled = report.images.contains { $0.isInTrouble || $0.isLosing }
        var table = TextTable(
            titles: ["EXPORT", "HIT%", "READ", "FILL", "p50", "p99", "WRITE", "FLUSH", "MEM", "DIRTY", "AGE"]
                + (isAnyTroubled ? ["STATE"] : []))
        for image in report.images {
            let rates = image.rates
            let cells = [
                name(image), Amount.percent(rates.hitRatio), Amount.bytes(rates.readBytes),
                Amount.bytes(rates.filledBytes), Amount.microseconds(image.fillTimes.p50Us),
                Amount.microseconds(image.fillTimes.p99Us), Amount.bytes(rates.writtenBytes),
                Amount.microseconds(image.flushTimes.p99Us), Amount.bytes(image.heldBytes),
                Amount.bytes(image.dirtyBytes),
                image.dirtyBytes == 0 ? "-" : Amount.seconds(Double(image.dirtyAgeMs) / 1000),
            ]
            table.add(cells + (isAnyTroubled ? [TopScreen.state(image)] : []))
        }
        return table.text
    }

    /// The name. Of a long one, the end tells more.
    private func name(_ image: TopReport.Image) -> String {
        let name = image.name.withoutControls
        let max = min(TopScreen.name.upperBound, Swift.max(TopScreen.name.lowerBound, width - TopScreen.cells))
        return name.count > max ? "…" + name.suffix(max - 1) : name
    }

    /// Whether the image needs somebody's attention.
    private static func state(_ image: TopReport.Image) -> String {
        image.isLosing ? "LOST DATA" : image.isInTrouble ? "TROUBLE" : "well"
    }
}
