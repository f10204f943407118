import Paging
import SystemPackage

extension Notice {
    /// One line for whoever runs the server.
    /// - Parameter file: The image, as it was typed.
    func text(of file: String) -> String {
        "file=\(file): " + sentence
    }

    private var sentence: String {
        switch self {
        case .writeOutFails(let error, let dirtyPages):
            "what clients have written cannot be brought to the image (\(Notice.words(error))); \(dirtyPages) base pages "
                + "are kept in memory and tried again every second, and every flush fails until they are out"
        case .writeOutWorksAgain(let failures):
            "all that clients have written can be brought to the image again, after \(failures) failed write-outs"
        case .syncFailed(let error, isLost: false):
            "the image could not be made durable (\(Notice.words(error))); what was written since that last succeeded is "
                + "kept in memory and written out again"
        case .syncFailed(let error, isLost: true):
            "the image could not be made durable (\(Notice.words(error))); some of what was written since that last "
                + "succeeded may be lost, and every flush fails until the server is started anew"
        case .syncWorksAgain(let failures):
            "the image can be made durable again, after \(failures) failed attempts"
        }
    }

    private static func words(_ error: AccessError) -> String { Errno(rawValue: error.code).description }
}
