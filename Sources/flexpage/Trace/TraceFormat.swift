/// How requests are written down in the lines of a trace.
protocol TraceFormat: Sendable {
    init()

    /// Whether a trace that begins with `line` is in this format.
    static func begins(with line: Substring) -> Bool

    /// What a line looks like, for who must mend one.
    static var wanted: String { get }

    /// What `line` says; nil where it is not a line of this format.
    mutating func parse(_ line: Substring) -> TraceLine?
}

/// What a line of a trace says.
enum TraceLine: Equatable {
    case request(TraceRequest)
    /// Something that a client asked for and that neither reads nor writes data, such as a flush or a trim.
    case otherRequest
    /// Nothing that matters here: a header, an answer, a file that is opened.
    case nothing
}

extension Substring {
    /// The parts between separators, where there may be several separators in a row.
    func fields(separatedBy separator: Character = " ") -> [Substring] {
        let byte = separator.asciiValue!
        return utf8.split { $0 == byte || $0 == UInt8(ascii: "\t") }.map(Substring.init)
    }
}
