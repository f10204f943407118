import SystemPackage

/// Reads small text files of the kernel, as those in /proc.
enum TextFile {
    /// Enough for /proc/self/mountinfo of a machine with thousands of mounts.
    private static let maxBytes = 1 << 20

    /// The text of the file, or nil if it cannot be read.
    static func read(_ path: FilePath) -> String? {
        guard let file = try? FileDescriptor.open(path, .readOnly, options: .closeOnExec) else { return nil }
        defer { try? file.close() }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        // Such files report no size, and a read may return only a part.
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
