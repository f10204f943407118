/// One request of a client.
struct Request: Sendable {
    enum Kind: Sendable {
        case read, populate, write, zero, trim, flush, extents
        /// Checks the pager's invariants.
        case check
        /// Closes the image and opens it again.
        case reopen
        /// Makes the memory smaller, by a block for each sector of the range, and does not wait for that.
        case limit
        /// Reads again and again, until all clients without a hammer have ended.
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
