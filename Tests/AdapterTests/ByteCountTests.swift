import Testing

@testable import Adapter

/// Sizes as people type and read them.
@Suite struct ByteCountTests {
    /// What nbdkit's own options understand is understood.
    @Test(arguments: [
        ("0", 0), ("1", 1), ("4096", 4096), ("12b", 12), ("3s", 1536), ("1k", 1024), ("1K", 1024), ("256M", 256 << 20),
        ("4g", 4 << 30), ("2T", 2 << 40), ("1P", 1 << 50), ("7E", 7 << 60), ("007", 7),
        ("9223372036854775807", Int.max),
    ])
    func understood(_ text: String, _ bytes: Int) {
        #expect(ByteCount.parse(text) == bytes)
    }

    /// Nothing else is, overflow included, and nothing traps.
    @Test(arguments: [
        "", "k", "M", "-1", "+1", " 1", "1 ", "1MB", "1Mi", "1.5G", "0x10", "1e3", "٣", "12é", "8E",
        "9223372036854775808", "99999999999999999999999", "9007199254740993T", "18014398509481984K",
    ])
    func refused(_ text: String) {
        #expect(ByteCount.parse(text) == nil)
    }

    /// A size is shown in the largest unit that leaves no rest, and is read back as it was.
    @Test(arguments: [
        (0, "0"), (1, "1"), (1024, "1K"), (1025, "1025"), (1 << 20, "1M"), (3 << 29, "1536M"), (5 << 30, "5G"),
        (8 << 40, "8T"),
    ])
    func told(_ bytes: Int, _ text: String) {
        #expect(ByteCount.text(bytes) == text)
        #expect(ByteCount.parse(text) == bytes)
    }
}
