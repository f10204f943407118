import Glibc

/// What a client asked for, when, and the answer.
struct Command {
    enum Kind {
        case read
        case write
        case zero
        case trim
        case flush
    }

    let kind: Kind
    /// The sectors that it covers; for a trim, those of whole base pages.
    let sectors: Range<Int>
    /// What it writes: a value of its own, or zeroes.
    var value: UInt32 = Sector.zeroes
    var isForced = false
    let start: UInt64
    var end: UInt64 = 0
    /// The error of its answer, or 0.
    var error: Int32 = 0
    /// What a read found.
    var found: [UInt32] = []

    /// True if it has put, or may have put, its value into its sectors.
    var mayHaveChanged: Bool {
        switch kind {
        case .read, .flush: false
        case .write: true
        // One that fails changes nothing, except a beginning and an end of less than a base page.
        case .zero: error != EOPNOTSUPP
        // A forced one may have been done, and then not have become durable.
        case .trim: error == 0 || isForced && error != EOPNOTSUPP
        }
    }
}
