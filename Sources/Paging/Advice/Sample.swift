/// An access to a sampled base page, as the data path reports it to the Advisor: what it was, which image, and which
/// group of pages. There is one sampled page in a group (Sampler), so the group names it. 64 bits, never 0.
struct Sample: Equatable {
    let raw: UInt64

    enum Kind: UInt64 {
        /// A client has read the page, which was resident.
        case hit = 1
        /// A client has read the page, which was missing.
        case miss
        /// A client has read the page, which was missing, and found zeroes, which take no memory.
        case zeroes
        /// A client has written the page.
        case write
        /// The page has been read ahead.
        case ahead
        /// The page has been dropped: zeroed, trimmed or forgotten.
        case drop

        /// Whether a client has read the page.
        var isRead: Bool { self != .write && self != .ahead && self != .drop }
    }

    private static let kindShift: UInt64 = 60
    private static let imageShift: UInt64 = 44

    init(raw: UInt64) { self.raw = raw }

    /// - Precondition: `group` < 2⁴⁴, which holds for groups of at least 32 base pages.
    init(_ kind: Kind, image: UInt16, group: UInt64) {
        assert(group >> Sample.imageShift == 0, "an image has at most 2⁴⁸ base pages")
        raw = kind.rawValue &<< Sample.kindShift | UInt64(image) &<< Sample.imageShift | group
    }

    var kind: Kind { Kind(rawValue: raw &>> Sample.kindShift)! }
    /// The image, and the group in place of the page.
    var key: PageKey {
        PageKey(
            image: UInt16(truncatingIfNeeded: raw &>> Sample.imageShift), page: raw & (1 &<< Sample.imageShift &- 1))
    }
}
