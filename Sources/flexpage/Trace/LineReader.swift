/// Reads the lines of a trace one by one, without their terminators (`\n` or `\r\n`).
struct LineReader: ~Copyable {
    private let path: String
    private let source: TraceSource
    private var buffer = [UInt8](repeating: 0, count: 1 << 16)
    /// The part of the buffer that has been read but not returned yet.
    private var pending = 0..<0
    private var isAtEnd = false
    /// The number of the line that was returned last, from 1.
    private(set) var number = 0

    init(path: String) throws {
        self.path = path
        source = try TraceSource(path: path)
    }

    /// The next line, or nil at the end.
    /// - Throws: A TraceError if the file cannot be read, or if a line is too long for a trace.
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

    /// Moves the pending part to the front of the buffer and fills up the rest.
    private mutating func refill() throws {
        buffer.replaceSubrange(0..<pending.count, with: Array(buffer[pending]))
        pending = 0..<pending.count
        guard pending.count < buffer.count else {
            throw TraceError(path, line: number + 1, "line longer than \(buffer.count) bytes; expected a trace")
        }
        let free = pending.upperBound..<buffer.count
        let count = try buffer.withUnsafeMutableBytes {
            try source.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[free]))
        }
        isAtEnd = count == 0
        pending = 0..<pending.count + count
    }

    /// Ends reading, even before the end of the file.
    mutating func finish() throws { try source.finish(atEnd: isAtEnd) }
}
