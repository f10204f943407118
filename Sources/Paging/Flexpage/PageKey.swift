/// A base page of one of the images that share the Memory: 16 bits of image and 48 bits of base page.
struct PageKey: Equatable {
    let raw: UInt64

    /// The largest image whose base pages have numbers that fit, bytes.
    static let maxImageSize: Int64 = 1 << 60

    /// Bits of the number of a base page.
    static let pageBits: UInt64 = 48
    static let pageMask: UInt64 = 1 << pageBits - 1

    @inline(__always)
    init(raw: UInt64) { self.raw = raw }

    /// - Precondition: `page` < 2⁴⁸, which holds for images of at most 2⁶⁰ bytes.
    @inline(__always)
    init(image: UInt16, page: UInt64) {
        assert(page <= PageKey.pageMask, "an image of at most 2⁶⁰ bytes has no such page")
        raw = UInt64(image) &<< PageKey.pageBits | page
    }

    @inline(__always)
    var image: UInt16 { UInt16(truncatingIfNeeded: raw &>> PageKey.pageBits) }
    @inline(__always)
    var page: UInt64 { raw & PageKey.pageMask }
}
