/// An export as the server describes it in the handshake, and what the kernel may be given of it.
struct Export: Hashable {
    /// In bytes.
    let size: UInt64
    let flags: ExportFlags
    /// In bytes: the limits of a request; 0 if the server does not say.
    let minBlock: UInt64
    let maxRequest: UInt64

    /// The smallest unit that the kernel's client can address, and the largest block that it can have: a page.
    static let sector: UInt64 = 512
    static let maxBlock: UInt64 = 4096

    /// What the kernel takes for the device's block size.
    var blockSize: UInt64 { max(Self.sector, minBlock) }

    /// The size that the device has: whole blocks.
    var deviceSize: UInt64 { size / blockSize * blockSize }

    var isReadOnly: Bool { flags.contains(.readOnly) }

    /// Checks that the kernel's client can use it with this number of connections.
    func check(connections: Int) throws(AttachError) {
        guard blockSize <= Self.maxBlock else {
            throw AttachError(
                "the export takes no request smaller than \(minBlock) bytes, and the kernel's client needs blocks of "
                    + "at most \(Self.maxBlock); serve it with nbdkit's blocksize filter")
        }
        guard deviceSize > 0 else {
            throw AttachError(
                "the export has \(size) bytes; a block device has at least one block of \(blockSize) bytes")
        }
        guard deviceSize <= UInt64(Int64.max) else {
            throw AttachError("the export has \(size) bytes, more than a block device can have")
        }
        guard connections == 1 || flags.contains(.manyConnections) else {
            throw AttachError(
                "the server does not allow several connections to this export; leave out --connections")
        }
    }

    /// Why a device that was attached to this export must not be continued with `other`; nil if it may. The kernel goes
    /// on by what it was told: the size, and the commands that it may send. A server that allows more is no trouble.
    func difference(from other: Export, connections: Int) -> String? {
        guard other.size == size else { return "the export has \(other.size) bytes now, not \(size)" }
        guard other.isReadOnly == isReadOnly else {
            return "the export is \(other.isReadOnly ? "read-only" : "writable") now"
        }
        guard other.blockSize <= blockSize else {
            return "the export takes no request smaller than \(other.minBlock) bytes now"
        }
        if other.maxRequest != 0, maxRequest == 0 || other.maxRequest < maxRequest {
            return "the export takes no request larger than \(other.maxRequest) bytes now"
        }
        let needed = connections > 1 ? flags : flags.subtracting(.manyConnections)
        for (flag, name) in ExportFlags.names where needed.contains(flag) && !other.flags.contains(flag) {
            return "the export does not allow \(name) any more"
        }
        return nil
    }
}
