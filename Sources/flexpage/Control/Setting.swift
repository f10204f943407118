import ArgumentParser

/// A `name=value` of `flexpage set`. The server checks the value.
enum Setting: Equatable {
    case limit(String)
    case readahead(String)

    init(parsing text: String) throws {
        let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2, !parts[1].contains(where: { $0.isWhitespace }) else {
            throw ValidationError("\(text): expected NAME=VALUE, such as limit=64M")
        }
        switch parts[0] {
        case "limit": self = .limit(parts[1])
        case "readahead": self = .readahead(parts[1])
        default: throw ValidationError("\(parts[0]): not a setting; expected limit or readahead")
        }
    }
}
