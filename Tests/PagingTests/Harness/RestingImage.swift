import Glibc
import Paging
import Synchronization

/// An image in memory that several Accessors may reach, one after the other, as descriptors reach a file. It notes what
/// it is asked for, and fails a test that calls it while it rests.
final class RestingImage: Accessor, @unchecked Sendable {
    /// The bytes of the image, and its stamp: another program that changes the image changes both.
    final class Disk: @unchecked Sendable {
        fileprivate let memory: UnsafeMutableRawPointer
        let size: Int64
        fileprivate let stamp = Atomic<Int>(0)
        fileprivate let isBroken = Atomic<Bool>(false)
        /// Accessors that do not rest, of all that reach this image.
        let awake = Atomic<Int>(0)
        let reads = Atomic<Int>(0)

        init(size: Int64, filledWith byte: UInt8) {
            self.size = size
            memory = .allocate(byteCount: Int(size), alignment: 4096)
            memset(memory, Int32(byte), Int(size))
        }

        deinit { memory.deallocate() }

        /// Another program changes the image.
        func change(to byte: UInt8) {
            memset(memory, Int32(byte), Int(size))
            stamp.add(1, ordering: .relaxed)
        }

        /// From now on writes fail, or work again.
        func setBroken(_ isBroken: Bool) { self.isBroken.store(isBroken, ordering: .relaxed) }

        /// The byte at `offset`.
        func byte(at offset: Int64) -> UInt8 { (memory + Int(offset)).load(as: UInt8.self) }
    }

    let disk: Disk
    let isWritable = true
    private let isResting = Atomic<Bool>(false)
    private let stamp: Atomic<Int>

    init(_ disk: Disk) {
        self.disk = disk
        stamp = Atomic(disk.stamp.load(ordering: .relaxed))
        disk.awake.add(1, ordering: .relaxed)
    }

    deinit { if !isResting.load(ordering: .relaxed) { disk.awake.subtract(1, ordering: .relaxed) } }

    var size: Int64 { disk.size }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        checkAwake()
        disk.reads.add(1, ordering: .relaxed)
        forEach(pieces, at: offset) { memcpy($0.iov_base, disk.memory + $1, $0.iov_len) }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        checkAwake()
        if disk.isBroken.load(ordering: .relaxed) { throw AccessError(EIO) }
        forEach(pieces, at: offset) { memcpy(disk.memory + $1, $0.iov_base, $0.iov_len) }
    }

    private func forEach(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64, _ body: (iovec, Int) -> Void) {
        var position = Int(offset)
        for piece in pieces {
            body(piece, position)
            position += piece.iov_len
        }
    }

    func makeDurable() throws(AccessError) { checkAwake() }
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) { throw AccessError(EROFS) }
    func trim(_ range: Range<Int64>) throws(AccessError) { throw AccessError(EOPNOTSUPP) }

    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        checkAwake()
        _ = report(Extent(range, .data))
    }

    func rest() {
        precondition(!isResting.exchange(true, ordering: .relaxed), "an image goes to rest once")
        stamp.store(disk.stamp.load(ordering: .relaxed), ordering: .relaxed)
        disk.awake.subtract(1, ordering: .relaxed)
    }

    func wake(with other: any Accessor) -> Bool {
        precondition(isResting.load(ordering: .relaxed), "only an image that rests is woken")
        let other = other as! RestingImage
        guard other.disk === disk, stamp.load(ordering: .relaxed) == disk.stamp.load(ordering: .relaxed) else {
            return false
        }
        isResting.store(false, ordering: .relaxed)
        disk.awake.add(1, ordering: .relaxed)
        return true
    }

    private func checkAwake() {
        precondition(!isResting.load(ordering: .relaxed), "an image that rests is not called")
    }
}
