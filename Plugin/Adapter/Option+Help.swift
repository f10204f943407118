/// The options in `nbdkit flexpage --help`: keys on the left, descriptions on the right.
extension Option {
    private static let indent = 18
    private static let maxColumns = 75

    /// The help for all options, without a final newline.
    static func helpText(of role: Role = .plugin) -> String {
        all(of: role).map(\.helpEntry).joined(separator: "\n")
    }

    /// The help for this option. The description begins on the line of the key if there is room.
    var helpEntry: String {
        let margin = String(repeating: " ", count: Self.indent)
        let term = typedKey + values.map(Self.marked).joined(separator: "|")
        let text = Self.lines(of: help, columns: Self.maxColumns - Self.indent).joined(separator: "\n" + margin)
        return term.count < Self.indent ? term + margin.dropFirst(term.count) + text : term + "\n" + margin + text
    }

    /// Placeholders in angle brackets, as in nbdkit's own help.
    private static func marked(_ value: String) -> String {
        guard value == value.uppercased() else { return value }
        var text = ""
        var isInside = false
        for letter in value {
            if letter.isUppercase != isInside { text += isInside ? ">" : "<" }
            isInside = letter.isUppercase
            text.append(letter)
        }
        return isInside ? text + ">" : text
    }

    /// `text`, wrapped between words.
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
