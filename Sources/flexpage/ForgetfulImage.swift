import Glibc
import Paging

/// An image that takes whatever it is given and keeps nothing of it: what measurements and simulations reach, so that
/// what is seen is the pager alone. What it populates is up to who conforms.
protocol ForgetfulImage: Accessor {}

extension ForgetfulImage {
    var isWritable: Bool { true }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {}
    func makeDurable() throws(AccessError) {}
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {}
    func trim(_ range: Range<Int64>) throws(AccessError) {}
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        _ = report(Extent(range, .data))
    }
}
