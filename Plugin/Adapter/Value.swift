import Paging

/// Parsers for the kinds of value that several options take: sizes, times, shares.
///
/// Each returns the value, or throws what is wrong with the text and what is expected. `alternative` is a word that the
/// option accepts as well; the message names it.
enum Value {
    /// The longest time that is accepted, in seconds: a day.
    private static let maxSeconds = 24 * 3600

    /// A number of bytes (`ByteCount`).
    static func size(
        _ text: String, in range: ClosedRange<Int>, or alternative: String? = nil
    ) throws(InvalidValue) -> Int {
        let rest = rest(alternative)
        guard let bytes = ByteCount.parse(text) else {
            throw InvalidValue("not a size", expected: "a number with a unit, such as 256M or 4G\(rest)")
        }
        guard bytes >= range.lowerBound else {
            throw InvalidValue("too small", expected: "at least \(ByteCount.text(range.lowerBound))\(rest)")
        }
        guard bytes <= range.upperBound else {
            throw InvalidValue("too large", expected: "at most \(ByteCount.text(range.upperBound))\(rest)")
        }
        return bytes
    }

    /// A time in seconds, or in milliseconds if `ms` follows the number.
    /// - Parameter example: A number of seconds that the message names.
    /// - Returns: Milliseconds.
    static func time(
        _ text: String, example: Int, or alternative: String? = nil
    ) throws(InvalidValue) -> Int {
        let isFine = text.hasSuffix("ms")
        let unit = isFine ? 1 : 1000
        guard let number = number(isFine ? text.dropLast(2) : text[...]), number > 0,
            number <= maxSeconds * 1000 / unit
        else {
            throw InvalidValue(
                "not a time",
                expected: "a number of seconds from 1 to \(maxSeconds), such as \(example), or of milliseconds, "
                    + "such as 500ms\(rest(alternative))")
        }
        return number * unit
    }

    /// A number of things.
    static func count(_ text: String, in range: ClosedRange<Int>, example: Int) throws(InvalidValue) -> Int {
        guard let count = number(text[...]), range.contains(count) else {
            throw InvalidValue(
                "no such number", expected: "\(range.lowerBound) to \(range.upperBound), such as \(example)")
        }
        return count
    }

    /// A time in whole seconds.
    static func seconds(
        _ text: String, in range: ClosedRange<Int>, example: Int, or alternative: String? = nil
    ) throws(InvalidValue) -> Int {
        guard let seconds = number(text[...]), range.contains(seconds) else {
            throw InvalidValue(
                "not a time",
                expected: "a number of seconds from \(range.lowerBound) to \(range.upperBound), such as \(example)"
                    + rest(alternative))
        }
        return seconds
    }

    /// A percentage, with or without the sign.
    /// - Returns: The share, from 0 to 1.
    static func share(_ text: String, in range: ClosedRange<Double>) throws(InvalidValue) -> Double {
        let digits = text.hasSuffix("%") ? text.dropLast() : text[...]
        guard let percent = number(digits), range.contains(Double(percent) / 100) else {
            throw InvalidValue(
                "not a share of the memory",
                expected: "a percentage from \(inPercent(range.lowerBound)) to \(inPercent(range.upperBound))")
        }
        return Double(percent) / 100
    }

    /// A path, which may be any text but an empty one.
    static func path(_ text: String, expected: String) throws(InvalidValue) -> String {
        guard !text.isEmpty else { throw InvalidValue("the path is empty", expected: expected) }
        return text
    }

    /// The memory that an image has for itself: a size, or a percentage, which has the sign.
    static func reserve(_ text: String) throws(InvalidValue) -> Reserve {
        if text.hasSuffix("%") { return .share(try share(text, in: 0...Reserve.maxShare)) }
        return .bytes(try size(text, in: 0...Int.max, or: "a percentage, such as 10%"))
    }

    /// Permissions in octal.
    static func mode(_ text: String) throws(InvalidValue) -> UInt32 {
        let digits = text.utf8
        guard !digits.isEmpty, digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "7")).contains($0) }),
            let mode = UInt32(text, radix: 8), mode <= 0o777
        else { throw InvalidValue("not permissions", expected: "three octal digits, such as 600 or 660") }
        return mode
    }

    /// The number that `text` says in digits alone: Int's own initialiser takes a sign as well.
    private static func number(_ text: Substring) -> Int? {
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(text) : nil
    }

    private static func rest(_ alternative: String?) -> String {
        alternative.map { ", or \($0)" } ?? ""
    }

    private static func inPercent(_ share: Double) -> String {
        "\(Int((share * 100).rounded()))%"
    }
}
