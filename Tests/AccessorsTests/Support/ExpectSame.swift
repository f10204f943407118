import Testing

/// Expects the same bytes, and tells of the first that differs rather than print them all.
func expectSame(
    _ found: some RandomAccessCollection<UInt8>, _ expected: some RandomAccessCollection<UInt8>, _ label: String = "",
    at place: SourceLocation = #_sourceLocation
) {
    let found = Array(found)
    let expected = Array(expected)
    if found == expected { return }
    let same = zip(found, expected).prefix { $0 == $1 }.count
    let counts = "\(found.count) bytes, \(expected.count) expected"
    Issue.record("\(label) differ from byte \(same) on; \(counts)", sourceLocation: place)
}
