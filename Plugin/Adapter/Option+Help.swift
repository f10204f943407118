/// What `nbdkit flexpage --help` prints of the options: keys at the left, what they do at the right.
extension Option {
    private static let indent = 18
    private static let maxColumns = 75

    /// All of it, without a newline at the end.
    static var helpText: String {
        all.map(\.helpEntry).joined(separator: "\n")
    }

    /// Begins on the line of the key if there is room.
    var helpEntry: String {
        let margin = String(repeating: " ", count: Self.indent)
        let term = typedKey + values.map(Self.marked).joined(separator: "|")
        let text = Self.lines(of: help, columns: Self.maxColumns - Self.indent).joined(separator: "\n" + margin)
        return term.count < Self.indent ? term + margin.dropFirst(term.count) + text : term + "\n" + margin + text
    }

    /// nbdkit's own help has what stands for a value in angle brackets.
    private static func marked(_ value: String) -> String {
        value == value.uppercased() ? "<\(value)>" : value
    }

    /// `text`, broken between words.
    private static func lines(of text: String, columns: Int) -> [String] {
        var lines: [String] = []
        for word in text.split(separator: " ") {
            if let line = lines.last, line.count + 1 + word.count <= columns {
                lines[lines.count - 1] = line + " " + word
            } else {
                lines.append(String(word))
            }
        }
        return lines
    }
}
