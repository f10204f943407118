/// What a server allows clients of an export: the transmission flags of the NBD protocol.
struct ExportFlags: OptionSet, Hashable {
    let rawValue: UInt64

    static let hasFlags = ExportFlags(rawValue: 1 << 0)
    static let readOnly = ExportFlags(rawValue: 1 << 1)
    static let flush = ExportFlags(rawValue: 1 << 2)
    static let forceUnitAccess = ExportFlags(rawValue: 1 << 3)
    static let rotational = ExportFlags(rawValue: 1 << 4)
    static let trim = ExportFlags(rawValue: 1 << 5)
    static let writeZeroes = ExportFlags(rawValue: 1 << 6)
    static let manyConnections = ExportFlags(rawValue: 1 << 8)

    /// Those that the kernel's client acts on, in the words of a message.
    static let names: [(ExportFlags, String)] = [
        (.flush, "flush"), (.forceUnitAccess, "FUA"), (.trim, "trim"), (.writeZeroes, "write zeroes"),
        (.manyConnections, "several connections"),
    ]
}
