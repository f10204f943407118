import ArgumentParser

/// The ways of paging that are simulated.
enum PagingWay: String, CaseIterable, ExpressibleByArgument {
    /// Every page has 4 KiB and is read by itself, as in other simulators.
    case fixed
    /// Pages are as large as the plugin makes them. Nothing is read ahead.
    case flexible
    /// Like the plugin: with readahead as well.
    case ahead

    /// The name in tables.
    var title: String {
        switch self {
        case .fixed: "4 KiB"
        case .flexible: "flex"
        case .ahead: "ahead"
        }
    }
}
