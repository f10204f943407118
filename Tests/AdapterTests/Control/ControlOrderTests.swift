import Paging
import TestSupport
import Testing

@testable import Adapter

/// What clients of the control socket may write.
@Suite struct ControlOrderTests {
    private func error(_ line: String) -> String? {
        do throws(ControlError) {
            _ = try ControlOrder(line)
            return nil
        } catch {
            return error.text
        }
    }

    @Test(arguments: [
        ("figures", ControlOrder.figures), ("  figures ", .figures), ("flush", .flush(nil)),
        ("flush a.img", .flush("a.img")),
        ("drop", .drop(nil)), ("drop a%20b%25", .drop("a b%")), ("prefetch a 4k 1M", .prefetch("a", 4096..<1_052_672)),
        ("prefetch a 0 0", .prefetch("a", 0..<0)), ("readahead a off", .readahead("a", 0)),
        ("readahead a 64k", .readahead("a", 65536)), ("limit 64M", .limit(64 << 20)), ("limit 0", .limit(0)),
        ("limit", .limit(nil)), ("advise", .advise), ("drop %C3%A4", .drop("ä")), ("resident a%20b", .resident("a b")),
    ])
    func orders(_ line: String, _ order: ControlOrder) throws { #expect(try ControlOrder(line) == order) }

    /// Each error names what is wrong and what is expected.
    @Test(arguments: [
        ("", "the line is empty; expected figures, flush [EXPORT], drop [EXPORT]"),
        ("Figures", "\"Figures\": unknown order; expected figures"),
        ("figures now", "figures: 1 words follow; expected figures"),
        ("advise a", "advise: 1 words follow; expected advise"),
        ("flush a b", "flush: 2 words follow; expected flush [EXPORT]"),
        ("resident", "resident: 0 words follow; expected resident EXPORT"),
        ("prefetch a 0", "prefetch: 2 words follow; expected prefetch EXPORT OFFSET LENGTH"),
        ("prefetch a -1 2", "\"-1\": not a size"), ("prefetch a 0 x", "\"x\": not a size"),
        ("prefetch a 9223372036854775807 1", "the range has no end"),
        ("readahead a 4k", "4k: too small; expected at least 64K, or off"), ("readahead a on", "\"on\": not a size"),
        ("limit off", "\"off\": not a size"), ("limit 1M 2M", "limit: 2 words follow; expected limit [SIZE]"),
        ("drop a%2", "% must be followed by two hexadecimal digits"), ("drop a%", "% must be followed"),
        ("drop %+1", "% must be followed"), ("drop %00", "no name has a byte that is 0"),
        ("drop a\u{0}b", "no name has a byte that is 0"),
        ("drop %ff", "the name is not in UTF-8"),
    ])
    func errors(_ line: String, _ expected: String) {
        let text = error(line)
        #expect(text?.contains(expected) == true, "\(text ?? "no error")")
        #expect(text?.contains("\n") == false)
    }

    /// No line makes the parser trap: random lines of what orders are made of.
    @Test(arguments: 1...50 as ClosedRange<UInt64>)
    func anyLine(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let pieces = [
            "figures", "flush", "drop", "prefetch", "readahead", "limit", "resident", " ", " ", "%", "%20", "%zz",
            "off",
            "9223372036854775807",
            "1e", "-1", "0", "ä", "\u{0}", "\t", "a.img", "8E", "7E",
        ]
        for _ in 0..<100 {
            let line = (0..<Int.random(in: 0..<8, using: &random)).map { _ in pieces.randomElement(using: &random)! }
                .joined()
            do throws(ControlError) {
                _ = try ControlOrder(line)
            } catch {
                #expect(!error.text.isEmpty && !error.text.contains("\n"), "\(line)")
            }
        }
    }
}
