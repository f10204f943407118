import TestSupport

@testable import flexpage

/// A file whose base pages are of known kinds, as the content of simulated images.
struct ContentFile {
    enum Kind {
        /// All zeroes.
        case zeroes
        /// One byte over and over, which compresses to almost nothing.
        case plain
        /// Random bytes, which do not compress.
        case random
    }

    let path: String
    private let scratch = Scratch()

    /// - Parameter rest: Bytes after the last page.
    init(_ kinds: [Kind], rest: Int = 0) throws {
        path = scratch.path("content")
        var random = SplitMix64(seed: 7)
        var bytes: [UInt8] = []
        for (index, kind) in kinds.enumerated() {
            switch kind {
            case .zeroes: bytes += [UInt8](repeating: 0, count: 4096)
            case .plain: bytes += [UInt8](repeating: UInt8(index % 200 + 1), count: 4096)
            case .random: bytes += (0..<4096).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            }
        }
        try Files.write(bytes + [UInt8](repeating: 1, count: rest), to: path)
    }

    /// The content, which stays when the file is gone.
    func content() throws -> ImageContent { try withExtendedLifetime(scratch) { try ImageContent(path: path) } }
}
