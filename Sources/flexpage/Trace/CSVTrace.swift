/// Requests as `op,offset,length`: R or W, bytes, bytes. A header line with these names is allowed.
struct CSVTrace: TraceFormat {
    static let wanted = "op,offset,length (R or W, bytes, bytes)"
    private static let header = "op,offset,length"

    static func begins(with line: Substring) -> Bool {
        line == header || CSVTrace().parse(line) != nil
    }

    func parse(_ line: Substring) -> TraceLine? {
        if line == CSVTrace.header { return .nothing }
        let fields = line.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        guard fields.count == 3, let operation = CSVTrace.operation(Substring(fields[0])),
            let offset = Int64(Substring(fields[1])), let length = Int64(Substring(fields[2]))
        else { return nil }
        return TraceRequest(operation, offset: offset, length: length).map(TraceLine.request)
    }

    private static func operation(_ name: Substring) -> TraceRequest.Operation? {
        switch name {
        case "R", "r": .read
        case "W", "w": .write
        default: nil
        }
    }
}
