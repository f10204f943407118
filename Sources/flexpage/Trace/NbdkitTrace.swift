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
        case "Read": return request(.read, connection, fields)
        case "Write": return request(.write, connection, fields)
        case "Flush", "Trim", "Zero", "Cache", "Extents": return .otherRequest
        default: return .nothing
        }
    }

    private mutating func request(
        _ operation: TraceRequest.Operation, _ connection: Substring, _ fields: [Substring]
    ) -> TraceLine? {
        let values = fields[4...]
        guard let offset = NbdkitTrace.value(of: "offset", in: values).flatMap(NbdkitTrace.number),
            let length = NbdkitTrace.value(of: "count", in: values).flatMap(NbdkitTrace.number)
        else { return nil }
        let image = images.number(of: exports[connection] ?? "")
        let time = NbdkitTrace.time(date: fields[0], time: fields[1])
        return TraceRequest(operation, image: image, offset: offset, length: length, time: time)
            .map(TraceLine.request)
    }

    /// Microseconds from the beginning of the year 0 to a date like 2026-11-23 and a time like 06:01:54.823624. Nil if
    /// they are not written like that.
    private static func time(date: Substring, time: Substring) -> Int64? {
        let (date, time) = (date.fields(separatedBy: "-"), time.fields(separatedBy: ":"))
        guard date.count == 3, time.count == 3, let year = Int64(date[0]), let month = Int64(date[1]),
            let day = Int64(date[2]), let hour = Int64(time[0]), let minute = Int64(time[1]),
            let seconds = Double(String(time[2])), (0...9999).contains(year), (1...12).contains(month),
            (1...31).contains(day), (0..<24).contains(hour), (0..<60).contains(minute), (0..<61).contains(seconds)
        else { return nil }
        // Years that begin with March, so that the day that some have more is their last.
        let (march, monthOfYear) = month > 2 ? (year, month - 3) : (year - 1, month + 9)
        let days = march * 365 + march / 4 - march / 100 + march / 400 + (monthOfYear * 153 + 2) / 5 + day
        let wholeMinutes = (days * 24 + hour) * 60 + minute
        return wholeMinutes * 60_000_000 + Int64((seconds * 1_000_000).rounded())
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
