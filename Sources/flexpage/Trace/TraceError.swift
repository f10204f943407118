/// The reason why a trace cannot be used: the file, the line if there is one, and the problem.
struct TraceError: Error, Equatable, CustomStringConvertible {
    let path: String
    /// From 1; nil if the problem is not about a line.
    let line: Int?
    let problem: String

    init(_ path: String, line: Int? = nil, _ problem: String) {
        self.path = path
        self.line = line
        self.problem = problem
    }

    var description: String {
        guard let line else { return "\(path): \(problem)" }
        return "\(path):\(line): \(problem)"
    }
}
