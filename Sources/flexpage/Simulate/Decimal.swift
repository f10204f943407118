import Glibc

extension Double {
    /// The number with `digits` decimal places. Foundation would be too large a dependency for this.
    func text(digits: Int) -> String {
        guard isFinite else { return "-" }
        let scale = pow(10, Double(digits))
        let scaled = Int((magnitude * scale).rounded())
        let sign = self < 0 && scaled > 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(scaled)" }
        let fraction = String(scaled % Int(scale))
        return "\(sign)\(scaled / Int(scale)).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
    }
}
