/// A format of trace files: how a line describes a request.
protocol TraceFormat: Sendable {
    init()

    /// Whether a trace that begins with `line` is in this format.
    static func begins(with line: Substring) -> Bool

    /// The syntax of a line, for messages.
    static var wanted: String { get }

    /// Parses a line; nil if it is not in this format.
    mutating func parse(_ line: Substring) -> TraceLine?
}

/// The meaning of a line in a trace.
enum TraceLine: Equatable {
    case request(TraceRequest)
    /// A request that neither reads nor writes data, such as a flush or a trim.
    case otherRequest
    /// Nothing relevant: a header, a reply, the opening of a file.
    case nothing
}

extension Substring {
    /// The parts between separators. Several separators in a row count as one.
    func fields(separatedBy separator: Character = " ") -> [Substring] {
        let byte = separator.asciiValue!
        return utf8.split { $0 == byte || $0 == UInt8(ascii: "\t") }.map(Substring.init)
    }
}
