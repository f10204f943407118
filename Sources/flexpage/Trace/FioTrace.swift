/// fio's iolog, versions 2 and 3: `file action [offset length]`, preceded by microseconds in version 3.
struct FioTrace: TraceFormat {
    static let wanted = "[time] file action, or [time] file read|write|trim|sync|datasync|wait offset length"
    private static let headers: [Substring: Version] = ["fio version 2 iolog": .two, "fio version 3 iolog": .three]

    private enum Version {
        case two
        case three
    }

    private var version: Version?
    private var images = ImageNumbers()

    static func begins(with line: Substring) -> Bool { headers[line] != nil }

    mutating func parse(_ line: Substring) -> TraceLine? {
        guard let version else {
            self.version = FioTrace.headers[line]
            return self.version == nil ? nil : .nothing
        }
        var fields = line.fields()[...]
        let time = version == .three ? fields.popFirst().flatMap { Int64($0) } : nil
        guard let file = fields.popFirst(), let action = fields.popFirst() else { return nil }
        switch action {
        case "add", "open", "close": return .nothing
        case "wait": return .nothing
        case "sync", "datasync", "trim": return .otherRequest
        case "read": return request(.read, file, fields, time)
        case "write": return request(.write, file, fields, time)
        default: return nil
        }
    }

    private mutating func request(
        _ operation: TraceRequest.Operation, _ file: Substring, _ range: ArraySlice<Substring>,
        _ time: Int64?
    ) -> TraceLine? {
        guard range.count == 2, let offset = Int64(range[range.startIndex]), let length = Int64(range.last!) else {
            return nil
        }
        return TraceRequest(operation, image: images.number(of: file), offset: offset, length: length, time: time)
            .map(TraceLine.request)
    }
}
