import Accessors
import Paging

/// An image that clients have open, or have left with data that is not on it yet.
///
/// There is one for each Provider, whatever names clients use for the image. Messages call it by the name that the
/// first of them used. Made by `Serving.open`. Thread rules: any thread, any time.
final class ServedImage: Sendable {
    let provider: Provider
    /// What the Provider reaches.
    let image: any ImageSource
    /// What figures call the image.
    let name: String
    /// What comes before the image's own words in messages.
    let prefix: String
    /// Whether it is closed when its clients have left.
    let isLate: Bool
    /// What errors call the image.
    let label: String
    private let gate: @Sendable () -> Void

    init(_ provider: Provider, name: String? = nil, prefix: String, isLate: Bool, gate: @escaping @Sendable () -> Void)
    {
        guard let image = provider.accessor as? any ImageSource else {
            preconditionFailure("a server opens only images that it can serve")
        }
        self.provider = provider
        self.image = image
        self.name = name ?? image.label
        self.prefix = prefix
        self.isLate = isLate
        label = isLate ? prefix + image.label : image.label
        self.gate = gate
    }

    /// Prepares for a client that may write. Discards the cache if others may have changed the image while no client
    /// here could write it.
    /// - Returns: The number of cached pages that were discarded.
    func beginWriting() throws -> Int {
        var forgotten = 0
        try image.beginWriting { forgotten = provider.forgetImage() }
        return forgotten
    }

    /// Prepares for a client that only reads, in the same way.
    func beginReading() -> Int {
        var forgotten = 0
        image.beginReading { forgotten = provider.forgetImage() }
        return forgotten
    }

    /// Before any client comes: what is read from now on is good for the first one, if others leave the image alone.
    func settle() { image.settle { _ = provider.forgetImage() } }

    /// As many clients that could write are gone, and their data is on the image. The last one lets other writers in.
    func endWriting(clients: Int = 1) {
        gate()
        for _ in 0..<clients { image.endWriting() }
    }

    /// The line in the log if the image's path leads elsewhere by now.
    func newsOfName() -> String? {
        image.newsOfName().map { prefix + $0 }
    }

    /// What has been counted for the image, as `name=value` words. The man page documents each.
    var counters: String {
        let counters = provider.counters
        return "\(counters.ofImage) reserved_pages=\(provider.reservedPages)"
    }

    /// A line in the log about the image. With file= there is no other image, and the line does not name it.
    func line(_ text: String) -> String { isLate ? prefix + text : text }
}
