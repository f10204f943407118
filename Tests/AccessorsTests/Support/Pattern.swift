import TestSupport

/// Bytes that reveal their offset: part of one long random row, from `salt` on. 16 MiB at most.
func pattern(_ count: Int, salt: Int = 0) -> [UInt8] { Array(row[salt..<salt + count]) }

private let row: [UInt8] = {
    var random = SplitMix64(seed: 0)
    let words = (0..<1 << 21).map { _ in random.next() }
    return words.withUnsafeBytes { Array($0) }
}()
