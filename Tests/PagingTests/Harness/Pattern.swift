import Glibc
import TestSupport

/// The contents of an image of any size. The bytes follow from the offset, and differ from page to page and from image
/// to image, so that a page in the wrong place is found. Made with memcpy, because tests are not optimised.
struct Pattern {
    /// The number of the image.
    let key: UInt64
    /// Base pages of zeroes.
    var zeroes = Zeroes.none

    private static let tablePages = 64
    private static let pageSize = 4096
    nonisolated(unsafe) private static let table: UnsafeMutableRawPointer = {
        let table = UnsafeMutableRawPointer.allocate(byteCount: tablePages * pageSize, alignment: pageSize)
        var random = SplitMix64(seed: 4711)
        for offset in stride(from: 0, to: tablePages * pageSize, by: 8) {
            table.storeBytes(of: random.next(), toByteOffset: offset, as: UInt64.self)
        }
        return table
    }()

    /// Puts the image's bytes from `offset` on into `memory`.
    func copy(to memory: UnsafeMutableRawBufferPointer, at offset: Int64) {
        var position = 0
        while position < memory.count {
            let at = Int(offset) + position
            let inPage = at % Pattern.pageSize
            let count = min(Pattern.pageSize - inPage, memory.count - position)
            copyPart(to: memory.baseAddress! + position, page: at / Pattern.pageSize, inPage: inPage, count: count)
            position += count
        }
    }

    /// One page's bytes: those of the table, except a stamp of eight bytes at the page's beginning and one at its end.
    private func copyPart(to memory: UnsafeMutableRawPointer, page: Int, inPage: Int, count: Int) {
        guard !zeroes.isZero(UInt64(page)) else {
            memset(memory, 0, count)
            return
        }
        let source = Pattern.table + page % Pattern.tablePages * Pattern.pageSize
        memcpy(memory, source + inPage, count)
        var stamp = SplitMix64.mix(UInt64(page) &* 31 &+ key &+ 1)
        for place in [0, Pattern.pageSize - 8] {
            let begin = max(place, inPage)
            let end = min(place + 8, inPage + count)
            if begin < end {
                withUnsafeBytes(of: &stamp) { overlay($0, begin - place, end - place, memory + begin - inPage) }
            }
        }
    }

    private func overlay(
        _ stamp: UnsafeRawBufferPointer, _ begin: Int, _ end: Int, _ memory: UnsafeMutableRawPointer
    ) {
        memcpy(memory, stamp.baseAddress! + begin, end - begin)
    }
}
