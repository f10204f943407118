/// The reason why a configuration cannot be served, as one sentence for the person who typed it.
///
/// It names the key and its value, and says what is wrong and what is expected instead.
struct ConfigurationError: Error, Equatable {
    let text: String

    init(_ text: String) {
        self.text = text
    }

    /// Describes what is wrong with one `key=value`.
    init(_ key: String, _ value: String, _ trouble: String, expected: String) {
        text = "\(key)=\(value): \(trouble); expected \(expected)"
    }
}
