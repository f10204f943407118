/// Something that whoever runs the server should be told, once for a trouble and once for its end.
public enum Notice: Sendable, Equatable {
    /// Data cannot be written out: why, and how many base pages are dirty. They stay in memory and are tried again.
    case writeOutFails(AccessError, dirtyPages: Int)
    /// All data that could not be written out is out now, after so many write-outs that failed.
    case writeOutWorksAgain(failures: UInt64)
    /// Syncs have begun to fail: why, and whether some of what they were to make durable is not in memory any more, so
    /// that no flush of the image can succeed until it is opened anew. Told again where that comes later.
    case syncFailed(AccessError, isLost: Bool)
    /// A sync has succeeded, nothing is lost, after so many that failed.
    case syncWorksAgain(failures: UInt64)
}
