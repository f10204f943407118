import Glibc

/// The seeds of a model test: `FLEXPAGE_SEED=n` repeats one of them, `FLEXPAGE_SOAK=1` runs many more.
enum Seeds {
    /// - Parameters:
    ///   - plain: How many in an ordinary run.
    ///   - sanitized: How many under the thread sanitizer, which runs each some ten times as long.
    static func of(plain: Int, sanitized: Int) -> [UInt64] {
        if let text = getenv("FLEXPAGE_SEED"), let seed = UInt64(String(cString: text)) { return [seed] }
        let count = Sanitizer.isThread ? sanitized : plain
        return (1...UInt64(isSoak ? count * 30 : count)).map { $0 }
    }

    static var isSoak: Bool { getenv("FLEXPAGE_SOAK") != nil }
}
