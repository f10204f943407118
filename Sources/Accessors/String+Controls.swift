extension String {
    /// The text for a line of a log: control characters are escaped (`\\x0a`), so that nobody's name for a file can
    /// end the line, or move the terminal's cursor.
    public var withoutControls: String {
        guard unicodeScalars.contains(where: Self.isControl) else { return self }
        return unicodeScalars.reduce(into: "") { text, scalar in
            if Self.isControl(scalar) {
                for byte in String(scalar).utf8 { text += Self.escaped(byte) }
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
    }

    /// The text in quotation marks for a line of a log. Long text is cut.
    /// - Parameter maxLength: The maximum number of characters; what is left out shows as an ellipsis.
    public func quoted(maxLength: Int = 255) -> String {
        let start = String(prefix(maxLength))
        let marked = start.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").withoutControls
        return "\"\(marked)\(count > maxLength ? "…" : "")\""
    }

    /// C0, DEL, C1, and what reorders or hides the text around it.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }

    private static func escaped(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16)
        return "\\x" + (digits.count < 2 ? "0" : "") + digits
    }
}
