import Glibc

/// Which processes have a file open. For messages: it reads all of /proc, as far as this user may.
enum FileHolders {
    /// The number of a process, other than this one, that has the file open; nil if none can be seen.
    static func first(device: UInt64, inode: UInt64) -> Int32? {
        names("/proc").compactMap { Int32($0) }.sorted().first { process in
            process != getpid() && has(process, device: device, inode: inode)
        }
    }

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
