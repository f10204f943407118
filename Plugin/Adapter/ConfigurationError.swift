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

    /// What `body` returns. Its error, which is a sentence, gets `prefix` as its beginning.
    static func prefixing<Result, Failure: Error>(
        _ prefix: String, _ body: () throws(Failure) -> Result
    ) throws(ConfigurationError) -> Result {
        do throws(Failure) {
            return try body()
        } catch {
            throw ConfigurationError("\(prefix)\(error)")
        }
    }
}
