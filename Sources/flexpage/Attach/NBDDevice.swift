import ArgumentParser

/// A block device of the kernel's NBD client: /dev/nbdN. It need not exist: the kernel makes it when it attaches it.
struct NBDDevice: Hashable, CustomStringConvertible {
    let index: UInt32

    /// With the kernel's default of 16 partitions per device, no larger number has a minor device number.
    static let maxIndex: UInt32 = 32767

    var description: String { "/dev/nbd\(index)" }

    /// "nbd0", as sysfs and /proc call it.
    var name: String { "nbd\(index)" }
}

extension NBDDevice {
    private static let prefix = "/dev/nbd"

    init(parsing text: String) throws(ValidationError) {
        let digits = text.dropFirst(Self.prefix.count)
        // UInt32 would also take a sign. "nbd00" is no device's name, and "nbd0p1" is a partition.
        guard text.hasPrefix(Self.prefix), let first = digits.first, digits.allSatisfy({ $0.isASCII && $0.isNumber }),
            first != "0" || digits == "0", let index = UInt32(digits), index <= Self.maxIndex
        else { throw ValidationError("expected a device of the kernel's NBD client: /dev/nbdN, such as /dev/nbd0") }
        self.index = index
    }
}
