import CStateFormat

/// What a frame holds, for the next server: one word, which changes as a whole.
public struct KeptWord: Equatable, Sendable {
    let raw: UInt64

    static let empty = KeptWord(0)

    @inline(__always)
    init(_ raw: UInt64) { self.raw = raw }

    @inline(__always)
    init(_ key: PageKey, isOwed: Bool, isPromoted: Bool = false) {
        assert(key.image < UInt16(FLEXPAGE_STATE_MAX_IMAGES), "the word has ten bits for the image")
        raw =
            key.raw | KeptWord.live | (isOwed ? KeptWord.owed : 0)
            | (isPromoted ? KeptWord.promotedBit : 0)
    }

    private static let live = FLEXPAGE_STATE_LIVE
    private static let owed = FLEXPAGE_STATE_OWED
    private static let promotedBit = FLEXPAGE_STATE_PROMOTED
    private static let flags = live | owed | promotedBit

    /// Whether the frame holds a base page.
    public var isLive: Bool { raw & KeptWord.live != 0 }
    /// Whether that is newer than what is known to be durable on the image.
    @inline(__always)
    public var isOwed: Bool { raw & KeptWord.owed != 0 }
    /// Whether the page was used again: it was on the main queue, or on its way there. A hint.
    @inline(__always)
    var isPromoted: Bool { raw & KeptWord.promotedBit != 0 }
    /// The number of the image's record.
    public var image: Int { Int(key.image) }
    /// The number of the base page in its image.
    public var page: UInt64 { key.page }

    @inline(__always)
    var key: PageKey { PageKey(raw: raw & ~KeptWord.flags) }

    /// The same, and durable.
    var settled: KeptWord { KeptWord(raw & ~KeptWord.owed) }

    /// The same, with the hint.
    var promoted: KeptWord { KeptWord(raw | KeptWord.promotedBit) }

    /// Whether it could be a word that a server has stored, in a section with records for `images` images.
    func isSound(images: Int) -> Bool {
        raw == 0 || isLive && Int(key.image) < images
    }
}
