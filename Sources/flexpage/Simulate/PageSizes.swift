import ArgumentParser

/// Which sizes pages have in a simulation.
enum PageSizes: String, CaseIterable {
    /// Every page is 4 KiB and is populated by itself, as simulators of caches have it.
    case fixed
    /// Pages are as the plugin makes them.
    case flexible

    /// The name in tables.
    var title: String {
        switch self {
        case .fixed: "4 KiB"
        case .flexible: "flex"
        }
    }
}

/// Which of them are to be simulated.
enum PageSizesChoice: String, CaseIterable, ExpressibleByArgument {
    case fixed
    case flexible
    case both

    var pageSizes: [PageSizes] {
        switch self {
        case .fixed: [.fixed]
        case .flexible: [.flexible]
        case .both: [.fixed, .flexible]
        }
    }
}
