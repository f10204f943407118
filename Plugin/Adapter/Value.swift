/// What the values of several options are made of: sizes, times, shares.
///
/// Each either understands a text, or says what is wrong with it and what is expected. `alternative` is a word that
/// the option takes as well; the message names it.
enum Value {
    /// The longest time that is taken, in seconds: a day.
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

    /// A time in seconds, or in milliseconds with `ms` behind the number.
    /// - Parameter example: Seconds that the message names.
    /// - Returns: Milliseconds.
    static func time(
        _ text: String, example: Int, or alternative: String? = nil
    ) throws(InvalidValue) -> Int {
        let isFine = text.hasSuffix("ms")
        let unit = isFine ? 1 : 1000
        guard let number = Int(isFine ? text.dropLast(2) : text[...]), number > 0, number <= maxSeconds * 1000 / unit
        else {
            throw InvalidValue(
                "not a time",
                expected: "seconds up to \(maxSeconds), such as \(example), or 500ms\(rest(alternative))")
        }
        return number * unit
    }

    /// A time in whole seconds.
    static func seconds(
        _ text: String, in range: ClosedRange<Int>, example: Int, or alternative: String? = nil
    ) throws(InvalidValue) -> Int {
        guard let seconds = Int(text), range.contains(seconds) else {
            throw InvalidValue(
                "not a time",
                expected: "seconds up to \(range.upperBound), such as \(example)\(rest(alternative))")
        }
        return seconds
    }

    /// A share in per cent, with or without the sign.
    /// - Returns: The share of one.
    static func share(_ text: String, in range: ClosedRange<Double>) throws(InvalidValue) -> Double {
        let digits = text.hasSuffix("%") ? text.dropLast() : text[...]
        guard let percent = Int(digits), range.contains(Double(percent) / 100) else {
            throw InvalidValue(
                "not a share of the memory",
                expected: "\(inPercent(range.lowerBound)) to \(inPercent(range.upperBound))")
        }
        return Double(percent) / 100
    }

    private static func rest(_ alternative: String?) -> String {
        alternative.map { ", or \($0)" } ?? ""
    }

    private static func inPercent(_ share: Double) -> String {
        "\(Int((share * 100).rounded()))%"
    }
}
