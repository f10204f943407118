/// One `key=value` of the command line: its syntax, its description in --help, and the parser of its value.
///
/// `all` (Option+Table.swift) lists every option. Parsing, the error for an unknown key, and nbdkit's help all use this
/// table. Tests compare the man page and the README with it.
struct Option: Sendable {
    typealias Take = @Sendable (_ value: String, _ settings: inout Settings) throws(InvalidValue) -> Void

    let key: String
    /// The possible values. A word in capitals is a placeholder; all others are typed literally.
    let values: [String]
    /// The default, as it would be typed; nil if there is none, or none that can be typed.
    let defaultValue: String?
    /// One or two sentences that say what it does and what the default is.
    let help: String
    /// Parses a value and stores it in the settings.
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

    /// An option whose value is one of several words.
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

    /// The values as the man page shows them: `SIZE|off`.
    var syntax: String { values.joined(separator: "|") }

    /// The option whose key nbdkit lets people leave out (`magic_config_key` in Glue.c).
    static let magicKey = "file"

    /// The key as it precedes the value. Brackets mark the one that may be left out.
    var typedKey: String { key == Self.magicKey ? "[\(key)=]" : "\(key)=" }

    /// The option with this key, or nil.
    static func named(_ key: String, of role: Role = .plugin) -> Option? {
        all(of: role).first { $0.key == key }
    }

    /// All keys, for messages.
    static func keys(of role: Role = .plugin) -> String { list(all(of: role).map { "\($0.key)=" }) }

    /// "a, b or c".
    private static func list(_ words: [String]) -> String {
        words.count < 2 ? words.joined() : words.dropLast().joined(separator: ", ") + " or " + words[words.count - 1]
    }
}
