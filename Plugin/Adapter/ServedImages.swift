import Accessors
import Paging

/// The images that clients have open, or have left with data that is not on them yet.
///
/// A registry finds a Provider by the image's identity. This finds what a server knows of the image by its Provider.
/// Thread rules: any thread, any time. No other lock is taken under its own.
final class ServedImages: Sendable {
    private struct Entry {
        let served: ServedImage
        var clients = 0
        /// Clients that have left with data that is not on the image.
        var absentees = 0

        var isInUse: Bool { clients > 0 || absentees > 0 }
    }

    private let entries = Guarded<[ObjectIdentifier: Entry]>([:])

    /// What is known of the image of `provider`, for one more client. If nothing is, `make` makes it.
    func enter(_ provider: Provider, _ make: () -> ServedImage) -> ServedImage {
        entries.withLock { entries in
            entries[ObjectIdentifier(provider), default: Entry(served: make())].clients += 1
            return entries[ObjectIdentifier(provider)]?.served ?? make()
        }
    }

    /// One client less.
    func leave(_ served: ServedImage) {
        change(served) { $0.clients -= 1 }
    }

    /// A client is about to leave with data that is not on the image.
    func beginAbsence(_ served: ServedImage) {
        change(served) { $0.absentees += 1 }
    }

    /// The data of clients that have left is on the image.
    func endAbsence(_ served: ServedImage, clients: Int) {
        change(served) { $0.absentees -= clients }
    }

    private func change(_ served: ServedImage, _ body: (inout Entry) -> Void) {
        let key = ObjectIdentifier(served.provider)
        entries.withLock { entries in
            guard var entry = entries[key] else { preconditionFailure("an image is left by those who entered it") }
            body(&entry)
            precondition(entry.clients >= 0 && entry.absentees >= 0, "more clients left than came")
            entries[key] = entry.isInUse ? entry : nil
        }
    }

    /// The image of `provider`, or nil if no client has it open.
    func find(_ provider: Provider) -> ServedImage? {
        entries.withLock { $0[ObjectIdentifier(provider)]?.served }
    }

    /// All of them, in the order of their names, and the one opened first before another of that name.
    var all: [ServedImage] {
        entries.withLock { $0.values.map(\.served) }
            .sorted { ($0.label, $0.provider.opening) < ($1.label, $1.provider.opening) }
    }
}
