/// What one client asks for, once.
struct Request: Sendable {
    enum Kind: Sendable {
        case read, populate, write, zero, trim, flush, extents
        /// Looks whether the pager's tables agree.
        case check
        /// Closes the image and opens it again.
        case reopen
        /// The process is about to die: all others are stopped, and the last will is done.
        case lastWill
        /// Reads again and again, until all who do not have ended.
        case hammer
    }

    let kind: Kind
    var image = 0
    var sectors = 0..<0
    var isForced = false
    var mayTrim = true
    var onlyIfFast = false

    var description: String {
        let forced = isForced ? ", forced" : ""
        return sectors.isEmpty ? "\(kind) of image \(image)" : "\(kind) \(sectors) of image \(image)\(forced)"
    }
}
