import SystemPackage

/// Reads the small text files in which the kernel says things.
enum TextFile {
    /// Ample for /proc/self/mountinfo of a machine with hundreds of mounts.
    private static let maxBytes = 1 << 20

    /// The text of the file, or nil where it cannot be had.
    static func read(_ path: FilePath) -> String? {
        guard let file = try? FileDescriptor.open(path, .readOnly, options: .closeOnExec) else { return nil }
        defer { try? file.close() }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        // Such files have no size that could be asked for, and may be given out a piece at a time.
        while bytes.count < maxBytes {
            guard let count = try? unsafe piece.withUnsafeMutableBytes({ try unsafe file.read(into: $0) }) else {
                return nil
            }
            if count == 0 { break }
            bytes += piece[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
