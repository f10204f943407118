import ArgumentParser

/// Which of the pages that the pager recycles come into a second tier.
enum TierAdmission: String, CaseIterable, ExpressibleByArgument {
    /// All of them.
    case all
    /// Those of its main queue: they have been hit there once, or have come back soon. Most pages are read once, and
    /// leave by the other queue, probation.
    case main
}
