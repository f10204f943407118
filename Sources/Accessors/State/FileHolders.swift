import Glibc

/// Which processes have a file open. For messages: it reads all of /proc, as far as this user may.
enum FileHolders {
    /// The number of a process, other than this one, that has the file open and is not about to end because it was
    /// killed; nil if none can be seen.
    static func first(device: UInt64, inode: UInt64) -> Int32? {
        names("/proc").compactMap { Int32($0) }.sorted().first { process in
            process != getpid() && has(process, device: device, inode: inode) && !isKilled(process)
        }
    }

    /// Whether SIGKILL is pending: the process is in a system call that ends first.
    private static func isKilled(_ process: Int32) -> Bool {
        guard let file = fopen("/proc/\(process)/status", "re") else { return false }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        let name = "SigPnd:"
        while fgets(&line, Int32(line.count), file) != nil {
            guard strncmp(line, name, name.utf8.count) == 0 else { continue }
            return line.withUnsafeBufferPointer { strtoull($0.baseAddress! + name.utf8.count, nil, 16) } & sigkill != 0
        }
        return false
    }

    private static let sigkill: UInt64 = 1 << UInt64(SIGKILL - 1)

    private static func has(_ process: Int32, device: UInt64, inode: UInt64) -> Bool {
        let directory = "/proc/\(process)/fd"
        return names(directory).contains { name in
            var found = stat()
            return stat("\(directory)/\(name)", &found) == 0 && UInt64(found.st_dev) == device
                && UInt64(found.st_ino) == inode
        }
    }

    private static func names(_ directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let length = MemoryLayout.size(ofValue: entry.pointee.d_name)
            names +=
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: length) { String(validatingCString: $0) }
                }.map { [$0] } ?? []
        }
        return names
    }
}
