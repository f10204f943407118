/// A base page of one of the images that share the Memory: 16 bits of image, 48 bits of base page.
struct PageKey: Equatable {
    let raw: UInt64

    /// The largest image whose base pages have numbers that fit, bytes.
    static let maxImageSize: Int64 = 1 << 60

    /// - Precondition: `page` < 2⁴⁸, which images of at most 2⁶⁰ bytes keep.
    @inline(__always)
    init(image: UInt16, page: UInt64) {
        raw = UInt64(image) &<< 48 | page
    }

    @inline(__always)
    var image: UInt16 { UInt16(truncatingIfNeeded: raw &>> 48) }
    @inline(__always)
    var page: UInt64 { raw & 0xFFFF_FFFF_FFFF }
}
