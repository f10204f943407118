import Glibc
import Paging

/// An image that accepts all writes and stores nothing, for measurements and simulations of the pager alone. Conforming
/// types define what a read returns.
protocol ForgetfulImage: Accessor {}

extension ForgetfulImage {
    var isWritable: Bool { true }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {}

    /// As with an image in a file on a disk with sectors of 512 bytes.
    var partUnit: Int? { 512 }
    func writeParts(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {}

    func makeDurable() throws(AccessError) {}
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {}
    func trim(_ range: Range<Int64>) throws(AccessError) {}
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        _ = report(Extent(range, .data))
    }
}
