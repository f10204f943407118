import Foundation
import Testing

@testable import Adapter

/// What the control socket writes is JSON, as another reader sees it.
@Suite struct JSONTests {
    /// The members keep their order.
    @Test func shape() {
        let value = JSON.object([
            ("b", .list([.number(1), .flag(true), .flag(false)])), ("a", .object([])), ("c", .list([])),
            ("d", .text("x")),
        ])
        #expect(value.line == #"{"b":[1,true,false],"a":{},"c":[],"d":"x"}"#)
    }

    /// Any text is read back as it was, on one line.
    @Test(arguments: [
        "", "plain", "quote \" backslash \\", "line\nend\r\ttab", "\u{0}\u{1f}\u{7f}", "\u{2028}\u{2029}",
        "ä 😀 e\u{301}",
    ])
    func texts(_ text: String) throws {
        let line = JSON.list([.text(text)]).line
        #expect(!line.utf8.contains(UInt8(ascii: "\n")))
        let read = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String]
        #expect(read.map { $0.map { Array($0.utf8) } } == [Array(text.utf8)])
    }

    /// Numbers do not lose digits.
    @Test func numbers() { #expect(JSON.number(.max).line == "18446744073709551615") }
}
