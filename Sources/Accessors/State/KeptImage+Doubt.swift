import Paging

extension KeptImage {
    /// What nobody can know of the image of a dead server, as a sentence; nil if there is nothing of that kind.
    public var doubt: String? {
        guard isSyncUnknown else { return nil }
        return "\(path.withoutControls): the server died in a sync, and nobody can know whether that failed; if so, "
            + "zeroes, trims and pages that were not in memory any more may be lost"
    }
}
