import Paging

/// What a client does with a disk. The pager is one, and so are the right and wrong disks that test the tests.
protocol Disk: Sendable {
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(AccessError)
    func populate(_ range: Range<Int64>) throws(AccessError)
    func write(from buffer: UnsafeRawBufferPointer, at offset: Int64, forced: Bool) throws(AccessError)
    func flush() throws(AccessError)
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool, forced: Bool) throws(AccessError)
    func trim(_ range: Range<Int64>, forced: Bool) throws(AccessError)
}

extension Pager: Disk {}
