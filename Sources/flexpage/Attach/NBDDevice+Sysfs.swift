/// What the kernel says of a device.
extension NBDDevice {
    var directory: String { "/sys/block/\(name)" }

    /// The file is there from the attaching until the device is detached, also while its connections are dead.
    var isAttached: Bool { attacher != nil }

    /// The process that has attached it. It may have ended since.
    var attacher: Int32? { Sysfs.text("\(directory)/pid").flatMap { Int32($0) } }

    /// In bytes; nil if the device does not exist.
    var size: UInt64? { Sysfs.text("\(directory)/size").flatMap { UInt64($0) }.map { $0 * Export.sector } }

    var isReadOnly: Bool { Sysfs.text("\(directory)/ro") == "1" }

    /// What was said to be behind it when it was attached. Linux 5.14 and newer.
    var backend: String? { Sysfs.text("\(directory)/backend") }

    /// Where it, or a partition of it, is mounted, according to a table like /proc/self/mountinfo.
    func mountPoints(in table: String) -> [String] {
        table.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            // The source is the second field after a lone dash: the number of fields before it varies.
            guard let dash = fields.firstIndex(of: "-"), dash + 2 < fields.count, fields.count > 4 else { return nil }
            return isPart(String(fields[dash + 2])) ? String(fields[4]) : nil
        }
    }

    private func isPart(_ source: String) -> Bool {
        source == description || source.hasPrefix("\(description)p")
    }
}
