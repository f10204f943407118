import Accessors
import Glibc
import Paging

/// What is in the images of a simulation: the base pages of a file or a block device, over and over. A page of an image
/// has the content of the page of the file with the same number, modulo the file's pages. A piece of a page at the end
/// of the file is left out.
///
/// It reads a page and compresses it when somebody asks for its size. The sizes of 2²⁰ pages are remembered, 8 MiB,
/// however large the file is. With more pages, some are read and compressed again.
///
/// Thread rules: one thread.
final class ImageContent: @unchecked Sendable {
    /// What a base page is, and what it takes when it is compressed.
    enum Page: Equatable {
        /// It is all zeroes, which take no memory in the pager.
        case zeroes
        /// The bytes that it takes.
        case compressed(Int)
        /// It takes more than is worth keeping (`LZ4.maxSize`).
        case dense
    }

    let path: String
    /// Base pages in the file.
    let pages: UInt64
    /// The first error of a read, after which all pages are dense.
    private(set) var failure: ToolFailure?

    private let descriptor: Int32
    /// For each number of a page modulo their count: the quotient in the upper 48 bits, and what the page is in the
    /// lower 16 (`code`); 0 if nothing is known.
    private let known: UnsafeMutableBufferPointer<UInt64>
    /// A page, and after it what it is compressed to.
    private let buffer = UnsafeMutableRawPointer.allocate(byteCount: 2 * BasePage.size, alignment: BasePage.size)

    private static let knownPages = 1 << 20
    private static let codeBits: UInt64 = 16
    /// Codes of pages that take no number of bytes.
    private static let zeroes: UInt16 = .max
    private static let dense: UInt16 = .max - 1

    /// Opens the file.
    /// - Throws: A sentence that names the file, and why its content cannot be used.
    init(path: String) throws(ToolFailure) {
        self.path = path
        (descriptor, pages) = try ImageContent.open(path)
        known = .allocate(capacity: ImageContent.knownPages)
        known.initialize(repeating: 0)
    }

    /// A descriptor of the file, and how many base pages it has.
    private static func open(_ path: String) throws(ToolFailure) -> (Int32, UInt64) {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure(path, "cannot be opened", errno) }
        var about = stat()
        let kind = fstat(descriptor, &about) == 0 ? about.st_mode & S_IFMT : 0
        let size = lseek(descriptor, 0, SEEK_END)
        if size >= BasePage.size, kind == S_IFREG || kind == S_IFBLK {
            return (descriptor, UInt64(size / BasePage.size))
        }
        close(descriptor)
        guard kind == S_IFREG || kind == S_IFBLK else {
            throw ToolFailure("\(path.withoutControls): expected a file or a block device with the content of an image")
        }
        throw ToolFailure(
            "\(path.withoutControls): it has \(size) bytes; expected at least a page of 4096 as the content")
    }

    deinit {
        close(descriptor)
        known.deallocate()
        buffer.deallocate()
    }

    /// What page `number` of an image is.
    func page(_ number: UInt64) -> Page {
        let number = number % pages
        let index = Int(number % UInt64(ImageContent.knownPages))
        let quotient = number / UInt64(ImageContent.knownPages)
        if known[index] == 0 || known[index] >> ImageContent.codeBits != quotient {
            known[index] = quotient << ImageContent.codeBits | UInt64(code(number))
        }
        switch UInt16(truncatingIfNeeded: known[index]) {
        case ImageContent.zeroes: return .zeroes
        case ImageContent.dense: return .dense
        case let size: return .compressed(Int(size))
        }
    }

    /// Reads and compresses a page of the file.
    private func code(_ number: UInt64) -> UInt16 {
        guard read(number, into: buffer) else { return ImageContent.dense }
        if ImageContent.isZero(buffer) { return ImageContent.zeroes }
        guard let size = LZ4.compress(buffer, into: buffer + BasePage.size) else { return ImageContent.dense }
        return UInt16(size)
    }

    /// Reads page `number` of the file.
    /// - Returns: False if it cannot be read, now or before; `failure` says why.
    func read(_ number: UInt64, into page: UnsafeMutableRawPointer) -> Bool {
        guard failure == nil else { return false }
        var done = 0
        while done < BasePage.size {
            let count = pread(descriptor, page + done, BasePage.size - done, Int(number) * BasePage.size + done)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                failure = ImageContent.failure(path, "cannot be read", count < 0 ? errno : EIO)
                return false
            }
            done += count
        }
        return true
    }

    /// Whether a base page is all zeroes.
    static func isZero(_ page: UnsafeRawPointer) -> Bool {
        page.load(as: UInt64.self) == 0 && memcmp(page, page + 8, BasePage.size - 8) == 0
    }

    private static func failure(_ path: String, _ problem: String, _ code: Int32) -> ToolFailure {
        ToolFailure("\(path.withoutControls): \(problem): \(String(cString: strerror(code)))")
    }
}
