import Glibc
import TestSupport

/// The seeds of a model test: `FLEXPAGE_SEED=n` repeats one of them, `FLEXPAGE_SOAK=1` runs many more.
enum Seeds {
    /// Each stage of Scripts/test has its own number, as a seed takes less time or more there.
    /// - Parameters:
    ///   - plain: How many in a debug build.
    ///   - optimised: How many in an optimised build; as many as in a debug build where nothing is said.
    ///   - sanitized: How many under a sanitizer: the thread sanitizer's takes some ten times as long.
    static func of(plain: Int, optimised: Int? = nil, sanitized: Int) -> [UInt64] {
        if let text = getenv("FLEXPAGE_SEED"), let seed = UInt64(String(cString: text)) { return [seed] }
        let count =
            if Sanitizer.isThread || Sanitizer.isAddress {
                sanitized
            } else if Optimised.isOn {
                optimised ?? plain
            } else {
                plain
            }
        return (1...UInt64(Soak.isOn ? count * (Optimised.isOn ? 10 : 5) : count)).map { $0 }
    }
}
