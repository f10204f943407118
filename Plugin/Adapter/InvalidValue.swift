/// The reason why a value is refused. It does not name the key, which parsers of values do not know.
struct InvalidValue: Error, Equatable {
    /// What is wrong with it: "not a size".
    let trouble: String
    /// What is expected instead: "at least 1M".
    let expected: String

    init(_ trouble: String, expected: String) {
        self.trouble = trouble
        self.expected = expected
    }
}
