import Glibc

/// Whole files, for tests.
package enum Files {
    package static func text(_ path: String) throws -> String { String(decoding: try bytes(path), as: UTF8.self) }

    package static func bytes(_ path: String, upTo end: Int = .max) throws -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw Trouble("open \(path): \(String(cString: strerror(errno)))") }
        defer { close(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(file, &piece, piece.count)
            guard count >= 0 else { throw Trouble("read \(path): \(String(cString: strerror(errno)))") }
            if count == 0 { return bytes }
            bytes += piece[..<min(count, end - bytes.count)]
            if bytes.count == end { return bytes }
        }
    }

    /// The names in a directory, in no order.
    package static func names(_ directory: String) throws -> [String] {
        guard let stream = opendir(directory) else { throw Trouble("opendir \(directory)") }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// The target of a symbolic link, or nil if there is none.
    package static func target(_ path: String) -> String? {
        var target = [CChar](repeating: 0, count: 4096)
        let length = readlink(path, &target, target.count - 1)
        return length < 0 ? nil : String(decoding: target[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Writes `bytes` at `offset`, and makes the file if need be.
    package static func write(_ bytes: [UInt8], to path: String, at offset: Int = 0) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw Trouble("open \(path): \(String(cString: strerror(errno)))") }
        defer { close(file) }
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                pwrite(file, $0.baseAddress! + done, $0.count - done, off_t(offset + done))
            }
            guard count > 0 else { throw Trouble("write \(path): \(String(cString: strerror(errno)))") }
            done += count
        }
    }

    /// Gives the file exactly this size.
    package static func resize(_ path: String, to size: Int) throws {
        if access(path, F_OK) != 0 { try write([], to: path) }
        guard truncate(path, off_t(size)) == 0 else {
            throw Trouble("truncate \(path): \(String(cString: strerror(errno)))")
        }
    }

    /// Removes a file, or a directory with all that is in it, as far as it is there and can be removed.
    package static func remove(_ path: String) {
        var found = stat()
        guard lstat(path, &found) == 0 else { return }
        if found.st_mode & S_IFMT == S_IFDIR {
            for name in (try? names(path)) ?? [] { remove("\(path)/\(name)") }
            rmdir(path)
        } else {
            unlink(path)
        }
    }
}
