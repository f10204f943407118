/// A table of text. The first column is left-aligned, the others are right-aligned.
struct TextTable {
    private var rows: [[String]]

    init(titles: [String]) { rows = [titles] }

    /// - Precondition: There are as many cells as titles.
    mutating func add(_ cells: [String]) {
        precondition(cells.count == rows[0].count, "a cell for each title")
        rows.append(cells)
    }

    /// The lines, without trailing spaces.
    var text: String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max()! }
        return rows.map { row in
            let cells = zip(row, widths).enumerated().map { column, cell in
                let blanks = String(repeating: " ", count: cell.1 - cell.0.count)
                return column == 0 ? cell.0 + blanks : blanks + cell.0
            }
            let line = cells.joined(separator: "  ")
            return String(line[...(line.lastIndex { $0 != " " } ?? line.startIndex)])
        }.joined(separator: "\n")
    }
}
