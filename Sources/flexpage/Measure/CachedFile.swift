import ArgumentParser
import Glibc

/// A file that is completely in the page cache.
final class CachedFile: @unchecked Sendable {
    private let descriptor: Int32

    init(bytes: Int, directory: String) throws {
        var name = Array("\(directory)/flexpage-XXXXXX".utf8CString)
        descriptor = mkstemp(&name)
        guard descriptor >= 0 else {
            throw ValidationError("cannot create a file in \(directory): \(String(cString: strerror(errno)))")
        }
        unlink(name)
        let chunk = [UInt8](repeating: 1, count: 1 << 20)
        for _ in 0..<bytes >> 20 {
            guard write(descriptor, chunk, chunk.count) == chunk.count else {
                throw ValidationError("cannot fill a file in \(directory): \(String(cString: strerror(errno)))")
            }
        }
    }

    deinit { close(descriptor) }

    func copy(page: Int, to buffer: UnsafeMutableRawPointer) {
        guard pread(descriptor, buffer, 4096, page << 12) == 4096 else { fatalError("pread failed") }
    }
}
