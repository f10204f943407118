import ArgumentParser

/// The ways of paging that are simulated.
enum PagingWay: String, CaseIterable, ExpressibleByArgument {
    /// Every page is 4 KiB and is populated by itself, as other simulators have it.
    case fixed
    /// Pages are as large as the plugin makes them; nothing is read ahead.
    case flexible
    /// As the plugin does it: streams are read ahead, too.
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
