import Paging
import SystemPackage

extension Notice {
    /// The line in the log.
    /// - Parameter isLate: The image is opened when clients come, and closed when they have left.
    func line(isLate: Bool) -> String {
        switch self {
        case .writeOutFails(let error, let dirtyPages):
            "writing to the image fails (\(Errno(rawValue: error.code))); \(dirtyPages) pages of 4096 bytes stay in "
                + "memory and are retried; every flush fails until they are written"
        case .writeOutWorksAgain(let failures):
            "writing to the image works again after \(failures) failures; everything kept in memory has been written"
        case .syncFailed(let error, let isLost):
            "syncing the image failed (\(Errno(rawValue: error.code))); "
                + (isLost
                    ? "data written before it may be lost, and every flush fails until "
                        + (isLate ? "all clients of the image have left" : "the server is restarted")
                    : "data written since the last successful sync is in memory and is written again")
        case .syncWorksAgain(let failures):
            "syncing the image works again after \(failures) failures; nothing is lost"
        }
    }
}
