extension Option {
    /// The options of the filter, in the order of its help and of its man page. All other keys belong to the layers
    /// below: where one of those wants the same word, ours begins with `flexpage-`.
    static let filter: [Option] =
        ofPlugin("memory", "warm", "control", "control-mode")
        + [readahead(default: "16M")] + ofPlugin("scheduling")
        + [ofPlugin("cache")[0].renamed("flexpage-cache")]
        + ofPlugin("dirty", "dirty-age", "end-time", "last-will", "flush-time")
        + [
            Option(
                "flexpage-connections", ["COUNT"], default: "8",
                help: "Maximum number of connections to what is below, if it bears one request at a time in each "
                    + "(default 8)."
            ) { value, settings throws(InvalidValue) in
                settings.connections = try Value.count(value, in: 1...64, example: 8)
            },

            Option(
                "flexpage-retry", ["SECONDS"], default: "30",
                help: "How long a request waits if what is below has gone away (default 30)."
            ) { value, settings throws(InvalidValue) in
                settings.retry = try Value.seconds(value, in: 0...86400, example: 30)
            },
        ]

    /// The options of a role.
    static func all(of role: Role) -> [Option] { role == .filter ? filter : all }

    private static func ofPlugin(_ keys: String...) -> [Option] {
        keys.map { key in
            guard let option = all.first(where: { $0.key == key }) else { preconditionFailure("\(key)= is an option") }
            return option
        }
    }

    /// The same option with another key.
    private func renamed(_ key: String) -> Option { Option(key, values, default: defaultValue, help: help, take: take) }
}
