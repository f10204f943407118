/// Shares as people type and read them.
enum Percentage {
    /// The number that `text` says, with or without a percent sign, or nil where it says none.
    static func parse(_ text: String) -> Int? {
        let utf8 = text.utf8
        return ByteCount.number(utf8.last == UInt8(ascii: "%") ? utf8.dropLast() : utf8[...])
    }
}
