import Accessors
import Paging

/// One export of a fixed list: export=NAME:PATH[,ro][,cache=MODE][,reserve=SIZE|PERCENT].
///
/// A comma in PATH is typed twice. NAME ends at the first colon.
struct ExportSettings: Equatable, Sendable {
    /// What clients call it.
    let name: String
    /// The image's path, as it was typed.
    let path: String
    /// Whether clients may only read.
    private(set) var isReadOnly = false
    /// When a write is answered; nil if cache= says it.
    private(set) var cache: CacheMode?
    /// The memory that the image has for itself; nil if reserve= says it.
    private(set) var reserve: Reserve?

    /// The maximum of an export's name in NBD, bytes.
    private static let maxNameLength = 4096
    private static let syntax = "NAME:PATH, such as root:/images/root.img"
    private static let optionSyntax =
        "ro, cache=writeback|writethrough or reserve=SIZE|PERCENT (a comma in a path is typed twice)"

    init(_ text: String) throws(InvalidValue) {
        guard let colon = text.firstIndex(of: ":") else { throw InvalidValue("no path", expected: Self.syntax) }
        name = String(text[..<colon])
        var fields = Self.fields(text[text.index(after: colon)...])
        path = fields.removeFirst()
        guard !name.isEmpty else { throw InvalidValue("the name is empty", expected: Self.syntax) }
        _ = try Value.path(path, expected: Self.syntax)
        guard name.utf8.count <= Self.maxNameLength else {
            throw InvalidValue("the name is too long", expected: "at most \(Self.maxNameLength) bytes")
        }
        var seen: Set<String> = []
        for field in fields {
            let key = try take(field)
            guard seen.insert(key).inserted else { throw InvalidValue("\(key) is given twice", expected: "it once") }
        }
    }

    /// Whether it is the export that a client calls `name`. Names are compared byte by byte: to Swift, two spellings of
    /// an accented letter are equal.
    func isCalled(_ name: String) -> Bool { self.name.utf8.elementsEqual(name.utf8) }

    /// Takes one option.
    /// - Returns: Its key.
    private mutating func take(_ option: String) throws(InvalidValue) -> String {
        let (key, value) = Self.pair(option)
        switch (key, value) {
        case ("ro", nil): isReadOnly = true
        case ("cache", let value?):
            guard let mode = CacheMode(rawValue: value) else {
                throw InvalidValue("cache=\(value): unknown mode", expected: "writeback or writethrough")
            }
            cache = mode
        case ("reserve", let value?):
            do throws(InvalidValue) {
                reserve = try Value.reserve(value)
            } catch {
                throw InvalidValue("reserve=\(value): \(error.trouble)", expected: error.expected)
            }
        default: throw InvalidValue("unknown option \(option.quoted())", expected: Self.optionSyntax)
        }
        return value == nil ? key : "\(key)="
    }

    private static func pair(_ option: String) -> (key: String, value: String?) {
        guard let equals = option.firstIndex(of: "=") else { return (option, nil) }
        return (String(option[..<equals]), String(option[option.index(after: equals)...]))
    }

    /// The parts between single commas. Two commas stand for one in a part.
    private static func fields(_ text: Substring) -> [String] {
        var fields = [""]
        var rest = text
        while let next = rest.popFirst() {
            if next == ",", rest.first == "," {
                rest.removeFirst()
                fields[fields.count - 1].append(",")
            } else if next == "," {
                fields.append("")
            } else {
                fields[fields.count - 1].append(next)
            }
        }
        return fields
    }
}
