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
