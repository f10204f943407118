/// A JSON value, as the control socket sends it (RFC 8259). It is only written: what clients send are words.
///
/// Foundation has an encoder, but would make the plugin several times as large. O(length of the text).
enum JSON: Sendable {
    case text(String)
    case number(UInt64)
    case flag(Bool)
    case list([JSON])
    /// A list of numbers, which takes a third of the memory.
    case numbers([UInt64])
    /// The members keep their order, so that a person finds the same thing in the same place.
    case object([(name: String, value: JSON)])

    /// The value on one line.
    var line: String {
        var line = ""
        append(to: &line)
        return line
    }

    private func append(to line: inout String) {
        switch self {
        case .text(let text): JSON.append(text, to: &line)
        case .number(let number): line += String(number)
        case .flag(let flag): line += flag ? "true" : "false"
        case .list(let values): JSON.append(values, to: &line) { $0.append(to: &$1) }
        case .numbers(let numbers): JSON.append(numbers, to: &line) { $1 += String($0) }
        case .object(let members):
            line += "{"
            for (index, member) in members.enumerated() {
                if index > 0 { line += "," }
                JSON.append(member.name, to: &line)
                line += ":"
                member.value.append(to: &line)
            }
            line += "}"
        }
    }

    private static func append<Value>(
        _ values: [Value], to line: inout String, _ append: (Value, inout String) -> Void
    ) {
        line += "["
        for (index, value) in values.enumerated() {
            if index > 0 { line += "," }
            append(value, &line)
        }
        line += "]"
    }

    private static func append(_ text: String, to line: inout String) {
        line += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": line += "\\\""
            case "\\": line += "\\\\"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let digits = String(scalar.value, radix: 16)
                line += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: line.unicodeScalars.append(scalar)
            }
        }
        line += "\""
    }
}
