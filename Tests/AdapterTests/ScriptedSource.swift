import Accessors
import Glibc
import Paging

/// An image that is no file: bytes in memory. It notes what a server asks of it, and refuses writers on request.
final class ScriptedSource: ImageSource {
    struct Refusal: Error, CustomStringConvertible {
        let description = "memory: another process writes it"
    }

    private struct State {
        var bytes: [UInt8]
        var calls: [String] = []
        var isTaken = false
        var hangs = false
    }

    // Not the standard library's mutex, whose waiters the thread sanitizer does not see.
    private let state: Guarded<State>
    let size: Int64
    let isWritable = true
    let label = "memory"
    let identity = ImageIdentity(device: .max, inode: 1)
    let readOnlyReason: String? = nil
    let isRotational = true
    let descriptors: [Int32] = []

    init(_ bytes: [UInt8]) {
        state = Guarded(State(bytes: bytes))
        size = Int64(bytes.count)
    }

    /// The calls since this was last asked, in order.
    func takeCalls() -> [String] {
        state.withLock { state in
            defer { state.calls = [] }
            return state.calls
        }
    }

    var bytes: [UInt8] { state.withLock { $0.bytes } }

    /// Says whether another process writes the image.
    func setTaken(_ isTaken: Bool) {
        state.withLock { $0.isTaken = isTaken }
    }

    /// Says whether its reads hang.
    func setHanging(_ hangs: Bool) {
        state.withLock { $0.hangs = hangs }
    }

    private func note(_ call: String) {
        state.withLock { $0.calls.append(call) }
    }

    // MARK: Clients

    func privilegesDropped() { note("privilegesDropped") }

    func beginWriting(ifChanged forget: () -> Void) throws {
        note("beginWriting")
        if state.withLock({ $0.isTaken }) { throw Refusal() }
        forget()
    }

    func endWriting() { note("endWriting") }

    func noteLastStamp() { note("noteLastStamp") }

    func beginReading(ifChanged forget: () -> Void) {
        note("beginReading")
        forget()
    }

    func newsOfName() -> String? { nil }

    // MARK: Bytes

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) {
        while state.withLock({ $0.hangs }) { usleep(1000) }
        state.withLock { state in
            var rest = state.bytes[Int(offset)...]
            for piece in pieces {
                let memory = UnsafeMutableRawBufferPointer(start: piece.iov_base, count: piece.iov_len)
                _ = memory.initializeMemory(as: UInt8.self, repeating: 0)
                memory.copyBytes(from: rest.prefix(piece.iov_len))
                rest = rest.dropFirst(piece.iov_len)
            }
        }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) {
        state.withLock { state in
            var index = Int(offset)
            for piece in pieces {
                for byte in UnsafeRawBufferPointer(start: piece.iov_base, count: piece.iov_len) {
                    if index < state.bytes.count { state.bytes[index] = byte }
                    index += 1
                }
            }
        }
    }

    func makeDurable() { note("makeDurable") }

    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {
        throw AccessError(EOPNOTSUPP)
    }

    func trim(_ range: Range<Int64>) throws(AccessError) { throw AccessError(EOPNOTSUPP) }

    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) {
        _ = report(Extent(range, .data))
    }
}
