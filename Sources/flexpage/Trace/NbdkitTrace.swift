/// The output of nbdkit's log filter: `date time connection=N Read id=N offset=0xN count=0xN …`, and other lines.
struct NbdkitTrace: TraceFormat {
    static let wanted = "date time [connection=N] action [name=value …], a Read or Write with offset= and count="

    /// The export of each connection.
    private var exports: [Substring: Substring] = [:]
    private var images = ImageNumbers()

    /// A line begins with a date like 2026-11-23 and a time.
    static func begins(with line: Substring) -> Bool {
        let fields = line.fields()
        guard fields.count >= 3 else { return false }
        return fields[0].utf8.count == 10 && fields[0].utf8.filter { $0 == UInt8(ascii: "-") }.count == 2
            && fields[1].utf8.filter { $0 == UInt8(ascii: ":") }.count == 2
    }

    mutating func parse(_ line: Substring) -> TraceLine? {
        guard NbdkitTrace.begins(with: line) else { return nil }
        let fields = line.fields()
        // Other lines are about the server itself: it is ready, it forks.
        guard let connection = NbdkitTrace.value(of: "connection", in: fields[2...2]), fields.count >= 4 else {
            return .nothing
        }
        switch fields[3] {
        case "Connect":
            exports[connection] = NbdkitTrace.export(in: line)
            return .nothing
        case "Read": return request(.read, connection, fields[4...])
        case "Write": return request(.write, connection, fields[4...])
        case "Flush", "Trim", "Zero", "Cache", "Extents": return .otherRequest
        default: return .nothing
        }
    }

    private mutating func request(
        _ operation: TraceRequest.Operation, _ connection: Substring, _ values: ArraySlice<Substring>
    ) -> TraceLine? {
        guard let offset = NbdkitTrace.value(of: "offset", in: values).flatMap(NbdkitTrace.number),
            let length = NbdkitTrace.value(of: "count", in: values).flatMap(NbdkitTrace.number)
        else { return nil }
        let image = images.number(of: exports[connection] ?? "")
        return TraceRequest(operation, image: image, offset: offset, length: length).map(TraceLine.request)
    }

    /// The quoted name of the export. It may contain spaces, so it extends to the next value.
    private static func export(in line: Substring) -> Substring {
        let values = line.split(separator: " export=", maxSplits: 1)
        guard values.count == 2 else { return "" }
        return values[1].split(separator: " tls=", maxSplits: 1).first ?? ""
    }

    private static func value(of name: String, in fields: ArraySlice<Substring>) -> Substring? {
        for field in fields where field.hasPrefix(name) {
            let rest = field.dropFirst(name.count)
            if rest.first == "=" { return rest.dropFirst() }
        }
        return nil
    }

    private static func number(_ text: Substring) -> Int64? {
        text.hasPrefix("0x") ? Int64(text.dropFirst(2), radix: 16) : Int64(text)
    }
}
