import Glibc
import Testing

/// Expects the same bytes, and reports the first that differs rather than all of them.
func expectSame(
    _ found: some RandomAccessCollection<UInt8>, _ expected: some RandomAccessCollection<UInt8>, _ label: String = "",
    at place: SourceLocation = #_sourceLocation
) {
    let found = Array(found)
    let expected = Array(expected)
    if found.count == expected.count, begin(found, alike: expected) { return }
    let same = zip(found, expected).prefix { $0 == $1 }.count
    let counts = "\(found.count) bytes, \(expected.count) expected"
    Issue.record("\(label) differ from byte \(same) on; \(counts)", sourceLocation: place)
}

/// True if `found` begins with the bytes of `expected`. By memcmp, because generic code is slow in debug builds.
func begin(_ found: [UInt8], alike expected: [UInt8]) -> Bool {
    found.count >= expected.count
        && found.withUnsafeBytes { found in
            expected.withUnsafeBytes { $0.isEmpty || memcmp(found.baseAddress!, $0.baseAddress!, $0.count) == 0 }
        }
}

/// Zeroes part of an array, by memset for the same reason.
func zero(_ bytes: inout [UInt8], _ range: Range<Int>) {
    bytes.withUnsafeMutableBytes { if !range.isEmpty { memset($0.baseAddress! + range.lowerBound, 0, range.count) } }
}
