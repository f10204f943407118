import Glibc
import TestSupport

/// Runs of bytes, compared and filled at the speed of the C library, because tests are not optimised.
enum Bytes {
    /// The first index at which `one` and `other`, of the same length, differ.
    static func difference(_ one: [UInt8], _ other: [UInt8]) -> Int? {
        let isSame = one.withUnsafeBytes { one in
            other.withUnsafeBytes { other in one.isEmpty || memcmp(one.baseAddress!, other.baseAddress!, one.count) == 0
            }
        }
        return isSame ? nil : one.indices.first { one[$0] != other[$0] }
    }

    /// - Throws: If they differ, where.
    static func check(_ found: [UInt8], _ wanted: [UInt8], at offset: Int = 0, _ what: String = "read") throws {
        guard found.count == wanted.count else { throw Trouble("\(what): \(found.count) bytes, not \(wanted.count)") }
        if let place = difference(found, wanted) {
            throw Trouble(
                "\(what): of \(found.count) bytes at \(offset), byte \(offset + place) is \(found[place]), not "
                    + "\(wanted[place])")
        }
    }

    /// Puts `new` into `bytes` at `offset`.
    static func put(_ new: [UInt8], into bytes: inout [UInt8], at offset: Int) {
        guard !new.isEmpty else { return }
        precondition(offset + new.count <= bytes.count)
        bytes.withUnsafeMutableBytes { bytes in
            new.withUnsafeBytes { _ = memcpy(bytes.baseAddress! + offset, $0.baseAddress!, $0.count) }
        }
    }

    static func zero(_ range: Range<Int>, of bytes: inout [UInt8]) {
        guard !range.isEmpty else { return }
        bytes.withUnsafeMutableBytes { _ = memset($0.baseAddress! + range.lowerBound, 0, range.count) }
    }
}
