/// One request of a trace: what a client read or wrote, and of which image.
struct TraceRequest: Equatable, Sendable {
    enum Operation: Sendable {
        case read
        case write
    }

    let operation: Operation
    /// The number of the image in its trace, from 0.
    let image: Int
    /// Where it begins, bytes.
    let offset: Int64
    /// Bytes.
    let length: Int64

    /// The largest offset that a request may reach, bytes: what a base page's number has room for.
    static let farthest: Int64 = 1 << 60

    /// - Returns: Nil where the range cannot be one of an image.
    init?(_ operation: Operation, image: Int = 0, offset: Int64, length: Int64) {
        guard offset >= 0, length >= 0, offset <= TraceRequest.farthest,
            length <= TraceRequest.farthest - offset
        else { return nil }
        self.operation = operation
        self.image = image
        self.offset = offset
        self.length = length
    }

    /// The bytes of the image that it reaches.
    var range: Range<Int64> { offset..<offset + length }
}
