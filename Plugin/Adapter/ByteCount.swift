/// Sizes as people type and read them.
///
/// The syntax is that of nbdkit's own options: digits, followed by at most one letter of either case. `b` stands for
/// bytes, `s` for sectors of 512 bytes, and `k`, `m`, `g`, `t`, `p`, `e` for powers of 1024. nbdkit's parser is not
/// used because it prints a message of its own, which names neither the key nor what is expected.
enum ByteCount {
    /// The number of bytes, or nil if `text` is not a size or does not fit into an Int.
    static func parse(_ text: String) -> Int? {
        var digits = text.utf8[...]
        var unit = 1
        if let last = digits.last, let scale = scale(of: last) {
            unit = scale
            digits.removeLast()
        }
        return number(digits).flatMap { multiply($0, unit) }
    }

    /// `bytes` in the largest unit that divides it: 268435456 is 256M.
    static func text(_ bytes: Int) -> String {
        for (name, shift) in [("T", 40), ("G", 30), ("M", 20), ("K", 10)] where bytes != 0 && bytes % (1 << shift) == 0
        {
            return "\(bytes >> shift)\(name)"
        }
        return "\(bytes)"
    }

    /// `bytes` in whole MiB, or exactly if it is less than 1 MiB. For messages.
    static func roughly(_ bytes: Int) -> String {
        bytes < 1 << 20 ? "\(bytes)" : "\(bytes >> 20)M"
    }

    /// The unit that a letter stands for.
    private static func scale(of letter: UInt8) -> Int? {
        switch letter | 0x20 {
        case UInt8(ascii: "b"): 1
        case UInt8(ascii: "s"): 512
        case UInt8(ascii: "k"): 1 << 10
        case UInt8(ascii: "m"): 1 << 20
        case UInt8(ascii: "g"): 1 << 30
        case UInt8(ascii: "t"): 1 << 40
        case UInt8(ascii: "p"): 1 << 50
        case UInt8(ascii: "e"): 1 << 60
        default: nil
        }
    }

    /// Digits only: Int's own initialiser accepts a sign as well.
    private static func number(_ digits: Substring.UTF8View.SubSequence) -> Int? {
        guard !digits.isEmpty else { return nil }
        var number = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            guard let tenfold = multiply(number, 10) else { return nil }
            let (sum, overflow) = tenfold.addingReportingOverflow(Int(digit - UInt8(ascii: "0")))
            guard !overflow else { return nil }
            number = sum
        }
        return number
    }

    private static func multiply(_ left: Int, _ right: Int) -> Int? {
        let (product, overflow) = left.multipliedReportingOverflow(by: right)
        return overflow ? nil : product
    }
}
