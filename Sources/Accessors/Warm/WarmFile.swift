import Glibc
import SystemPackage

/// The file that a WarmList is kept in (warm=). It is replaced as a whole: a new file beside it is written, synced and
/// renamed. So whatever happens, it has an old list or a new one.
///
/// Thread rules: one thread at a time.
public struct WarmFile: Sendable {
    /// Absolute: the process changes its directory later.
    public let path: String
    /// Beside it; what a process that was killed has left there is replaced, and nothing else.
    private var newPath: String { path + ".new" }
    private var directory: String { String(path.prefix(upTo: path.lastIndex(of: "/")!)) + "/" }

    /// - Parameter path: Absolute, or from the current directory.
    public init(_ path: String) throws(WarmError) {
        guard !path.hasPrefix("/") else {
            self.path = path
            return
        }
        guard let current = getcwd(nil, 0) else { throw WarmFile.failure("cannot find the current directory") }
        defer { free(current) }
        self.path = String(cString: current) + "/" + path
    }

    private static func failure(_ what: String) -> WarmError { WarmError("\(what): \(Errno(rawValue: errno))") }

    /// Whether `write` could succeed now.
    /// - Throws: Why not.
    public func check() throws(WarmError) {
        try checkContents()
        guard faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) == 0 else {
            throw WarmFile.failure("no new file can be made in its directory, as a new list needs")
        }
    }

    /// What is no list stays: it may be an image whose name was typed by mistake, or that happens to have the name of
    /// the new file. A file that this process may not read is left to the rights of its directory.
    private func checkContents() throws(WarmError) {
        if let problem = WarmFile.problem(of: path) {
            throw WarmError("it \(problem); expected a file of the server's own, or a new one")
        }
        // A link is removed, not what it leads to.
        var status = stat()
        guard lstat(newPath, &status) == 0, status.st_mode & S_IFMT != S_IFLNK else { return }
        if let problem = WarmFile.problem(of: newPath) {
            throw WarmError("a new list is made as \(newPath), which \(problem); move that, or name another file")
        }
    }

    /// Why what is there is not replaced; nil if it may be, or if there is nothing.
    private static func problem(of path: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        guard status.st_mode & S_IFMT == S_IFREG else { return "is not a regular file" }
        let number = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard number >= 0 else { return nil }
        defer { close(number) }
        guard let bytes = try? bytes(of: number, count: WarmList.magic.count) else { return "cannot be read" }
        return bytes.isEmpty || bytes == WarmList.magic ? nil : "is no warm file, and is not replaced"
    }

    /// The list in the file; nil if there is no file.
    /// - Throws: Why it cannot be used.
    public func read() throws(WarmError) -> WarmList? {
        // One that is no file could hold up the start.
        let number = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard number >= 0 else {
            if errno == ENOENT { return nil }
            throw WarmFile.failure("it cannot be read")
        }
        defer { close(number) }
        var status = stat()
        guard fstat(number, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw WarmError("it is not a regular file")
        }
        guard status.st_size <= WarmList.maxBytes else {
            throw WarmError("it has \(status.st_size) bytes; expected at most \(WarmList.maxBytes)")
        }
        return try WarmList(try WarmFile.bytes(of: number, count: Int(status.st_size)))
    }

    private static func bytes(of number: Int32, count: Int) throws(WarmError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let step = bytes.withUnsafeMutableBytes { Glibc.read(number, $0.baseAddress! + done, count - done) }
            if step < 0, errno == EINTR { continue }
            guard step >= 0 else { throw failure("it cannot be read") }
            // Another process has made it shorter. The checksum finds that.
            guard step > 0 else { break }
            done += step
        }
        bytes.removeLast(count - done)
        return bytes
    }

    /// Replaces the list. Only the user of this process may read it.
    /// - Throws: Why it stays what it was.
    public func write(_ list: WarmList) throws(WarmError) {
        try checkContents()
        let pieces = list.pieces
        let count = pieces.reduce(0) { $0 + $1.count }
        guard count <= WarmList.maxBytes else {
            throw WarmError("the list has \(count) bytes; expected at most \(WarmList.maxBytes)")
        }
        unlink(newPath)
        let number = open(newPath, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard number >= 0 else { throw WarmFile.failure("\(newPath) cannot be made") }
        do throws(WarmError) {
            defer { close(number) }
            for piece in pieces { try WarmFile.write(piece, to: number, newPath) }
            guard fsync(number) == 0 else { throw WarmFile.failure("\(newPath) cannot be synced") }
            try checkName(of: number)
        } catch {
            unlink(newPath)
            throw error
        }
        guard rename(newPath, path) == 0 else {
            let error = WarmFile.failure("\(newPath) cannot be renamed")
            unlink(newPath)
            throw error
        }
    }

    private static func write(_ bytes: [UInt8], to number: Int32, _ path: String) throws(WarmError) {
        var done = 0
        while done < bytes.count {
            let step = bytes.withUnsafeBytes { Glibc.write(number, $0.baseAddress! + done, bytes.count - done) }
            if step < 0, errno == EINTR { continue }
            guard step > 0 else { throw failure("\(path) cannot be written") }
            done += step
        }
    }

    /// Two servers that share a file must not rename what the other one has half written.
    private func checkName(of number: Int32) throws(WarmError) {
        var (own, found) = (stat(), stat())
        guard fstat(number, &own) == 0, lstat(newPath, &found) == 0, own.st_dev == found.st_dev,
            own.st_ino == found.st_ino
        else { throw WarmError("another process uses \(newPath)") }
    }
}
