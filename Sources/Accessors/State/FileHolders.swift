import CLinux
import Glibc

/// Which processes have a file open. For messages: it reads all of /proc, as far as this user may. Files of theirs may
/// lie on disks that hang, so no disk is asked.
enum FileHolders {
    /// The number of a process, other than this one and its children, that has the file open and is not about to end
    /// because it was killed; nil if none can be seen. A child has copies of all descriptors of this process until it
    /// begins another program.
    static func first(device: UInt64, inode: UInt64) -> Int32? {
        names("/proc").compactMap { Int32($0) }.sorted().first { process in
            process != getpid() && has(process, device: device, inode: inode) && !isChild(process)
                && !isKilled(process)
        }
    }

    private static func isChild(_ process: Int32) -> Bool {
        status(process, "PPid:").map { strtol($0, nil, 10) } == Int(getpid())
    }

    /// Whether SIGKILL is pending: the process is in a system call that ends first.
    private static func isKilled(_ process: Int32) -> Bool {
        status(process, "SigPnd:").map { strtoull($0, nil, 16) & sigkill != 0 } ?? false
    }

    private static let sigkill: UInt64 = 1 << UInt64(SIGKILL - 1)

    /// What the kernel says of a process behind `name`.
    private static func status(_ process: Int32, _ name: String) -> String? {
        guard let file = fopen("/proc/\(process)/status", "re") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            guard strncmp(line, name, name.utf8.count) == 0 else { continue }
            return line.withUnsafeBufferPointer { String(cString: $0.baseAddress! + name.utf8.count) }
        }
        return nil
    }

    private static func has(_ process: Int32, device: UInt64, inode: UInt64) -> Bool {
        let directory = "/proc/\(process)/fd"
        return names(directory).contains { linux_leads_to("\(directory)/\($0)", device, inode) }
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
