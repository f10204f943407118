/// The requests of a trace, in order.
struct Trace: Sendable {
    /// The file's name, without directories and extensions.
    let name: String
    private(set) var requests: [TraceRequest] = []
    /// The size of each image in bytes: up to the end of the farthest request, rounded up to whole chunks.
    private(set) var imageSizes: [Int64] = []
    /// The number of skipped requests: those that neither read nor write, and those of zero bytes.
    private(set) var leftOut = 0

    /// Whether it says of each request when it was made.
    var hasTimes: Bool { requests.allSatisfy { $0.time != nil } }

    private static let formats: [any TraceFormat.Type] = [CSVTrace.self, FioTrace.self, NbdkitTrace.self]
    private static let chunk: Int64 = 1 << 20

    /// Reads the file at `path`. Its first line determines the format.
    /// - Throws: A TraceError if the file is missing, damaged or not understood.
    init(path: String) throws {
        name = String(path.split(separator: "/").last?.split(separator: ".").first ?? "")
        var lines = try LineReader(path: path)
        do {
            try read(&lines, path)
        } catch {
            // The first error is the most useful one.
            try? lines.finish()
            throw error
        }
        try lines.finish()
        guard !requests.isEmpty else { throw TraceError(path, "it has no requests that read or write") }
    }

    private mutating func read(_ lines: inout LineReader, _ path: String) throws {
        var format: (any TraceFormat)?
        while let line = try lines.next() {
            if line.isEmpty { continue }
            if format == nil { format = try Trace.format(beginningWith: line, lines.number, path) }
            switch format!.parse(line) {
            case .request(let request): add(request)
            case .otherRequest: leftOut += 1
            case .nothing: break
            case nil:
                let wanted = type(of: format!).wanted
                throw TraceError(path, line: lines.number, "expected \(wanted), found \(quoted(line))")
            }
        }
    }

    private static func format(beginningWith line: Substring, _ number: Int, _ path: String) throws -> any TraceFormat {
        if let format = formats.first(where: { $0.begins(with: line) }) { return format.init() }
        throw TraceError(
            path, line: number,
            "expected a trace: \(CSVTrace.wanted), fio's iolog (version 2 or 3), or a log of nbdkit's log filter; "
                + "found \(quoted(line))")
    }

    private mutating func add(_ request: TraceRequest) {
        guard request.length > 0 else {
            leftOut += 1
            return
        }
        while imageSizes.count <= request.image { imageSizes.append(0) }
        let end = (request.range.upperBound + Trace.chunk - 1) / Trace.chunk * Trace.chunk
        imageSizes[request.image] = max(imageSizes[request.image], end)
        requests.append(request)
    }
}

/// The beginning of a line, in printable characters.
private func quoted(_ line: Substring) -> String {
    let shown = line.prefix(60).map { $0.isASCII && !$0.isNewline && $0 >= " " ? $0 : "?" }
    return "\"\(String(shown))\(line.count > 60 ? "…" : "")\""
}
