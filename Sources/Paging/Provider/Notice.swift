/// News for whoever runs the server: each trouble is reported once when it begins and once when it ends.
public enum Notice: Sendable, Equatable {
    /// Data cannot be written out: the error, and how many base pages are dirty. They stay in memory and are tried
    /// again.
    case writeOutFails(AccessError, dirtyPages: Int)
    /// All data that could not be written out is out now, after this number of failed write-outs.
    case writeOutWorksAgain(failures: UInt64)
    /// Syncs have begun to fail: the error, and whether data is lost. Data is lost if some of what the sync should have
    /// made durable is not in memory any more. Then no flush of the image succeeds until it is opened anew. If data is
    /// lost at a later failure, this notice comes again.
    case syncFailed(AccessError, isLost: Bool)
    /// A sync has succeeded after this number of failed ones, and nothing is lost.
    case syncWorksAgain(failures: UInt64)
}
