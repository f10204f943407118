/// Why a value is not taken, without its key: those who parse values do not know whose they are.
struct InvalidValue: Error, Equatable {
    /// What is wrong with it: "not a size".
    let trouble: String
    /// What would be right: "at least 1M".
    let expected: String

    init(_ trouble: String, expected: String) {
        self.trouble = trouble
        self.expected = expected
    }
}
