/// The lines of a trace, one after the other, without their ends (`\n` or `\r\n`).
struct LineReader: ~Copyable {
    private let path: String
    private let source: TraceSource
    private var buffer = [UInt8](repeating: 0, count: 1 << 16)
    /// What of the buffer has been read and not been given out.
    private var pending = 0..<0
    private var isAtEnd = false
    /// The number of the line that was given out last, from 1.
    private(set) var number = 0

    init(path: String) throws {
        self.path = path
        source = try TraceSource(path: path)
    }

    /// The next line, or nil at the end.
    /// - Throws: A TraceError where the file cannot be read, or a line is so long that this is no trace.
    mutating func next() throws -> Substring? {
        var searched = pending.lowerBound
        while true {
            if let end = buffer[searched..<pending.upperBound].firstIndex(of: UInt8(ascii: "\n")) {
                return take(upTo: end, next: end + 1)
            }
            if isAtEnd { return pending.isEmpty ? nil : take(upTo: pending.upperBound, next: pending.upperBound) }
            searched = pending.count
            try refill()
        }
    }

    private mutating func take(upTo end: Int, next: Int) -> Substring {
        var line = buffer[pending.lowerBound..<end]
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        pending = next..<pending.upperBound
        number += 1
        return Substring(decoding: line, as: UTF8.self)
    }

    /// Moves what is pending to the front and reads on behind it.
    private mutating func refill() throws {
        buffer.replaceSubrange(0..<pending.count, with: Array(buffer[pending]))
        pending = 0..<pending.count
        guard pending.count < buffer.count else {
            throw TraceError(path, line: number + 1, "longer than \(buffer.count) bytes: this is no trace")
        }
        let free = pending.upperBound..<buffer.count
        let count = try buffer.withUnsafeMutableBytes {
            try source.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[free]))
        }
        isAtEnd = count == 0
        pending = 0..<pending.count + count
    }

    /// Ends the reading: before the end of the file too.
    mutating func finish() throws { try source.finish(atEnd: isAtEnd) }
}
