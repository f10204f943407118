/// The requests of a trace, in order.
struct Trace: Sendable {
    /// The file's name without its folders and endings.
    let name: String
    private(set) var requests: [TraceRequest] = []
    /// The size of each image, bytes: as far as requests reach, in whole chunks.
    private(set) var imageSizes: [Int64] = []
    /// Requests that neither read nor wrote data, and those of no bytes; they are left out.
    private(set) var leftOut = 0

    private static let formats: [any TraceFormat.Type] = [CSVTrace.self, FioTrace.self, NbdkitTrace.self]
    private static let chunk: Int64 = 1 << 20

    /// Reads the file at `path`, whose format its first line tells.
    /// - Throws: A TraceError where it is missing, damaged or not understood.
    init(path: String) throws {
        name = String(path.split(separator: "/").last?.split(separator: ".").first ?? "")
        var lines = try LineReader(path: path)
        do {
            try read(&lines, path)
        } catch {
            // The first error tells most.
            try? lines.finish()
            throw error
        }
        try lines.finish()
        guard !requests.isEmpty else { throw TraceError(path, "no requests in it that read or write") }
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
                throw TraceError(path, line: lines.number, "wanted \(type(of: format!).wanted), found \(quoted(line))")
            }
        }
    }

    private static func format(beginningWith line: Substring, _ number: Int, _ path: String) throws -> any TraceFormat {
        if let format = formats.first(where: { $0.begins(with: line) }) { return format.init() }
        throw TraceError(
            path, line: number,
            "wanted a trace: \(CSVTrace.wanted), fio's iolog (fio version 2 iolog, or 3), "
                + "or what nbdkit's log filter writes; found \(quoted(line))")
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

/// The beginning of a line, fit to be shown.
private func quoted(_ line: Substring) -> String {
    let shown = line.prefix(60).map { $0.isASCII && !$0.isNewline && $0 >= " " ? $0 : "?" }
    return "\"\(String(shown))\(line.count > 60 ? "…" : "")\""
}
