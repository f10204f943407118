/// The grain of paging, and the arithmetic of it.
///
/// An image is divided into *base pages* of 4 KiB, the smallest flexpage there is; eight of them make a *leaf*, the
/// record of the AccessMap; and 256 of them make a *chunk* of 1 MiB, the largest flexpage there is and what one lock of
/// the AccessMap covers. A flexpage is aligned to its size, so it lies inside one chunk.
public enum BasePage {
    /// Bytes in a base page, and in a frame of the Memory.
    public static let size = 4096
    static let shift = 12

    /// The number of the base page that holds the byte at `offset`.
    @inline(__always)
    static func number(of offset: Int64) -> UInt64 { UInt64(bitPattern: offset) &>> 12 }

    /// The base pages that hold at least one byte of `range`, which is not empty.
    @inline(__always)
    static func numbers(covering range: Range<Int64>) -> Range<UInt64> {
        number(of: range.lowerBound)..<(number(of: range.upperBound &- 1) &+ 1)
    }

    /// The first byte of base page `number`.
    @inline(__always)
    static func offset(of number: UInt64) -> Int64 { Int64(bitPattern: number &<< 12) }
}
