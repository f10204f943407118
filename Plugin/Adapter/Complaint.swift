/// Why a configuration cannot be served: one sentence for the person who typed it.
///
/// It names the key and its value, says what is wrong with them, and what is wanted instead.
struct Complaint: Error, Equatable {
    let text: String

    init(_ text: String) {
        self.text = text
    }

    /// A complaint about one `key=value`.
    init(_ key: String, _ value: String, _ trouble: String, wanted: String) {
        text = "\(key)=\(value): \(trouble); expected \(wanted)"
    }
}
