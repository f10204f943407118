/// One `key=value` of the command line: what is typed, what --help says of it, and how its value is taken.
///
/// `all` (Option+Table.swift) has every one. From it values are parsed, the error for an unknown key lists the keys,
/// and nbdkit's help is made. Tests compare the man page and the README with it.
struct Option: Sendable {
    typealias Take = @Sendable (_ value: String, _ settings: inout Settings) throws(InvalidValue) -> Void

    let key: String
    /// The values there are. A word in capitals stands for any value of that kind; all others are typed as they are.
    let values: [String]
    /// What holds if it is not given, as it would be typed; nil if it must be given.
    let defaultValue: String?
    /// What it does, and its default, in a sentence or two.
    let help: String
    /// Puts a value that was typed into the settings.
    let take: Take

    init(
        _ key: String, _ values: [String], default defaultValue: String?, help: String, take: @escaping Take
    ) {
        self.key = key
        self.values = values
        self.defaultValue = defaultValue
        self.help = help
        self.take = take
    }

    /// An option whose value is one of a few words.
    init<Mode: RawRepresentable<String> & CaseIterable & Sendable>(
        _ key: String, into property: WritableKeyPath<Settings, Mode> & Sendable, help: String
    ) {
        let values = Mode.allCases.map(\.rawValue)
        self.init(
            key, values, default: Settings()[keyPath: property].rawValue, help: help
        ) { value, settings throws(InvalidValue) in
            guard let mode = Mode(rawValue: value) else {
                throw InvalidValue("unknown mode", expected: Self.list(values))
            }
            settings[keyPath: property] = mode
        }
    }

    /// The values in one word, as the man page has them: `SIZE|off`.
    var syntax: String { values.joined(separator: "|") }

    /// The key with what stands before the value. nbdkit takes a word without a key for the one that must be given.
    var typedKey: String { defaultValue == nil ? "[\(key)=]" : "\(key)=" }

    /// The option for a key.
    static func named(_ key: String) -> Option? {
        all.first { $0.key == key }
    }

    /// The keys there are, for a person.
    static var keys: String { list(all.map { "\($0.key)=" }) }

    /// "a, b or c".
    private static func list(_ words: [String]) -> String {
        words.count < 2 ? words.joined() : words.dropLast().joined(separator: ", ") + " or " + words[words.count - 1]
    }
}
