/// The ways to serve an image file from the pager. What is promised of one is promised of both.
enum Pager: String, CaseIterable {
    /// The plugin reaches the file itself.
    case plugin
    /// The filter reaches it through nbdkit's file plugin.
    case filter

    /// nbdkit's arguments that name what serves.
    /// - Parameter below: Filters between ours and the plugin below it, as nbdkit's arguments.
    /// - Parameter plugin: A plugin other than the usual one.
    func arguments(_ below: [String] = [], plugin: String? = nil) throws -> [String] {
        switch self {
        case .plugin: [try plugin ?? Plugin.built()]
        case .filter: [try Filter.argument()] + below + [plugin ?? "file"]
        }
    }

    /// The plugin's parameters as this one calls them.
    func parameters(_ parameters: [String]) -> [String] {
        guard self == .filter else { return parameters }
        // The filter wants a little more than the plugin.
        return parameters.map { $0.hasPrefix("cache=") ? "flexpage-\($0)" : $0 == "memory=1M" ? "memory=2M" : $0 }
    }

    /// What messages call the image at `path`.
    func label(_ path: String) -> String { self == .plugin ? path : "the file plugin" }
}
