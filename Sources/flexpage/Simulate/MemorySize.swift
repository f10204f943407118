/// An amount of memory as people write it: a number of bytes, or of binary multiples with K, M or G.
struct MemorySize: Equatable {
    let bytes: Int

    private static let units: [Character: Int] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]

    init(bytes: Int) { self.bytes = bytes }

    init?(_ text: Substring) {
        let unit = text.last.flatMap { MemorySize.units[$0] }
        guard let number = Int(unit == nil ? text : text.dropLast()), number > 0 else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: unit ?? 1)
        guard !overflow else { return nil }
        self.bytes = bytes
    }

    /// The text that `init` parses, in the largest unit that divides the size.
    var text: String {
        for (unit, name) in [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")] where bytes % unit == 0 {
            return "\(bytes / unit)\(name)"
        }
        return "\(bytes)"
    }
}
