import Glibc
import TestSupport

/// The seeds of a model test: `FLEXPAGE_SEED=n` repeats one of them, `FLEXPAGE_SOAK=1` runs many more.
enum Seeds {
    /// Each stage of Scripts/test has its own number, because a seed takes more or less time there.
    /// - Parameters:
    ///   - plain: The number in a debug build.
    ///   - optimised: The number in an optimised build; as in a debug build if nil.
    ///   - sanitized: The number under the thread sanitizer, where a seed takes some ten times as long. Half as many
    ///     are enough under the address sanitizer: the same bytes are touched by each.
    static func of(plain: Int, optimised: Int? = nil, sanitized: Int) -> [UInt64] {
        if let text = getenv("FLEXPAGE_SEED"), let seed = UInt64(String(cString: text)) { return [seed] }
        let count =
            if Sanitizer.isThread {
                sanitized
            } else if Sanitizer.isAddress {
                (sanitized + 1) / 2
            } else if Optimised.isOn {
                optimised ?? plain
            } else {
                plain
            }
        return (1...UInt64(Soak.isOn ? count * (Optimised.isOn ? 10 : 5) : count)).map { $0 }
    }
}
