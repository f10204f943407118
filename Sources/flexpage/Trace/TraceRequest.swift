/// One request of a trace: a read or a write of an image.
struct TraceRequest: Equatable, Sendable {
    enum Operation: Sendable {
        case read
        case write
    }

    let operation: Operation
    /// The number of the image in its trace, from 0.
    let image: Int
    /// The first byte.
    let offset: Int64
    /// The number of bytes.
    let length: Int64
    /// When it was made, microseconds since any moment that the whole trace shares; nil if the trace has no times.
    let time: Int64?

    /// The maximum end of a request, bytes: base page numbers cannot represent more.
    static let farthest: Int64 = 1 << 60

    /// - Returns: nil if no image can have such a range.
    init?(_ operation: Operation, image: Int = 0, offset: Int64, length: Int64, time: Int64? = nil) {
        guard offset >= 0, length >= 0, offset <= TraceRequest.farthest,
            length <= TraceRequest.farthest - offset
        else { return nil }
        self.operation = operation
        self.image = image
        self.offset = offset
        self.length = length
        self.time = time
    }

    /// The bytes of the image that it accesses.
    var range: Range<Int64> { offset..<offset + length }
}
