/// Amounts in few characters, for tables.
enum Amount {
    private static let units = ["", "K", "M", "G", "T", "P", "E"]

    /// Bytes in units of 1024: at most five characters, such as 0, 512, 1.5K, 23M and 1000G.
    static func bytes(_ count: Double) -> String {
        var (rest, unit) = (count.rounded(), 0)
        while rest >= 1024, unit + 1 < units.count {
            rest /= 1024
            unit += 1
        }
        let digits = unit > 0 && rest < 9.95 ? 1 : 0
        return rest.text(digits: digits) + units[unit]
    }

    static func bytes(_ count: UInt64) -> String { bytes(Double(count)) }

    /// A number of events: 0, 0.5, 12, 340, 12k.
    static func count(_ number: Double) -> String {
        if number >= 9_999.5 { return (number / 1000).text(digits: 0) + "k" }
        return number.text(digits: number > 0 && number < 9.95 ? 1 : 0)
    }

    /// A ratio as a percentage with one decimal place.
    static func percent(_ ratio: Double?) -> String { ratio.map { ($0 * 100).text(digits: 1) } ?? "-" }

    /// Microseconds: 8us, 16ms, 2.1s.
    static func microseconds(_ time: UInt64?) -> String {
        guard let time else { return "-" }
        if time < 1000 { return "\(time)us" }
        if time < 1_000_000 { return (Double(time) / 1000).text(digits: time < 10_000 ? 1 : 0) + "ms" }
        return seconds(Double(time) / 1_000_000)
    }

    /// Seconds: 0.3s, 12s, 5m, 2h.
    static func seconds(_ time: Double) -> String {
        if time < 9.95 { return time.text(digits: 1) + "s" }
        if time < 120 { return time.text(digits: 0) + "s" }
        return time < 7200 ? (time / 60).text(digits: 0) + "m" : (time / 3600).text(digits: 0) + "h"
    }
}
