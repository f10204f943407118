import Paging

/// What was in memory of some images, the warmest first, without the data: the contents of a warm file.
///
/// This type alone reads and writes the format. Numbers in the header are little-endian. A *number* in the body has
/// seven bits in each byte, the lowest first, and the eighth bit says that there are more; it has at most ten bytes.
///
///     header, 24 bytes
///          0   8 bytes   "FLEXWARM"
///          8   4 bytes   version of the format: 1
///         12   4 bytes   CRC-32C (Castagnoli) of all bytes but these four
///         16   8 bytes   bytes of the body, to which the file's end must agree
///     body
///         number         how many images there are, at most 4096
///         for each image
///             number     bytes of its name, at most 4096; 0 for any image of its size
///             bytes      its name, UTF-8
///             number     bytes of the image
///             number     bytes of its bands
///             for each band, the warmest first, until these bytes are at their end
///                 1 byte     its warmth, 0 to 15 (ResidentRun), less than that of the band before
///                 number     how many runs it has, at least 1
///                 for each run, by place
///                     number     pages of 4096 bytes between it and the run before, or the beginning of the image
///                     number     its pages, less one
///
/// A reader of another version refuses the file. Whatever is in a file, reading it ends with a list or a sentence, and
/// takes at most the file's bytes of memory: bands stay packed until `runs` are asked for.
public struct WarmList: Sendable, Equatable {
    /// One image. Two entries have different names.
    public struct Entry: Sendable, Equatable {
        /// The name of the export; empty for any image of this size.
        public let name: String
        /// Bytes of the image.
        public let size: Int64
        /// The bands, as in the file.
        fileprivate let bands: [UInt8]

        /// - Parameter runs: The warmest first, and by place where they are equally warm. They do not overlap then.
        public init(name: String, size: Int64, runs: [ResidentRun]) {
            self.name = name
            self.size = size
            bands = WarmList.pack(runs)
        }

        fileprivate init(name: String, size: Int64, bands: [UInt8]) {
            (self.name, self.size, self.bands) = (name, size, bands)
        }

        /// What was in memory, the warmest first.
        public var runs: [ResidentRun] { (try? WarmList.unpack(bands, size: size)) ?? [] }
    }

    public private(set) var entries: [Entry] = []

    /// The maximum number of images, and of bytes of a name.
    public static let maxEntries = 4096
    public static let maxName = 4096
    /// The maximum number of bytes in a file: enough for 8 TiB of memory in pages of 1 MiB, or 64 GiB in those of
    /// 4 KiB.
    public static let maxBytes = 64 << 20

    private static let magic = Array("FLEXWARM".utf8)
    private static let version: UInt32 = 1
    private static let headerBytes = 24
    private static let checksumBytes = 12..<16

    public init() {}

    /// Adds an entry, or replaces the one of this name.
    public mutating func set(_ entry: Entry) {
        entries.removeAll { $0.name == entry.name }
        // The images that were in use last stay.
        if entries.count >= WarmList.maxEntries { entries.removeFirst() }
        entries.append(entry)
    }

    /// The entry for an image: the one of its name, else the one without a name, else the only one. Nil if there is
    /// none.
    public func entry(for name: String) -> Entry? {
        entries.first { $0.name == name } ?? entries.first { $0.name.isEmpty }
            ?? (entries.count == 1 ? entries[0] : nil)
    }

    // MARK: - Writing

    /// The bytes of the file.
    public var bytes: [UInt8] {
        var body: [UInt8] = []
        WarmList.append(UInt64(entries.count), to: &body)
        for entry in entries {
            let name = Array(entry.name.utf8)
            WarmList.append(UInt64(name.count), to: &body)
            body += name
            WarmList.append(UInt64(entry.size), to: &body)
            WarmList.append(UInt64(entry.bands.count), to: &body)
            body += entry.bands
        }
        var bytes = WarmList.magic
        WarmList.appendFixed(UInt64(WarmList.version), 4, to: &bytes)
        WarmList.appendFixed(0, 4, to: &bytes)
        WarmList.appendFixed(UInt64(body.count), 8, to: &bytes)
        bytes += body
        var sum: [UInt8] = []
        WarmList.appendFixed(UInt64(WarmList.checksum(of: bytes)), 4, to: &sum)
        bytes.replaceSubrange(WarmList.checksumBytes, with: sum)
        return bytes
    }

    private static func pack(_ runs: [ResidentRun]) -> [UInt8] {
        var bytes: [UInt8] = []
        var index = 0
        while index < runs.count {
            let warmth = runs[index].warmth
            let band = runs[index...].prefix { $0.warmth == warmth }
            bytes.append(warmth)
            append(UInt64(band.count), to: &bytes)
            var end: UInt64 = 0
            for run in band {
                precondition(!run.pages.isEmpty && run.pages.lowerBound >= end, "runs of a band are in order")
                append(run.pages.lowerBound - end, to: &bytes)
                append(UInt64(run.pages.count) - 1, to: &bytes)
                end = run.pages.upperBound
            }
            index += band.count
        }
        return bytes
    }

    private static func append(_ number: UInt64, to bytes: inout [UInt8]) {
        var rest = number
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private static func appendFixed(_ number: UInt64, _ count: Int, to bytes: inout [UInt8]) {
        for index in 0..<count { bytes.append(UInt8(truncatingIfNeeded: number >> UInt64(8 * index))) }
    }

    // MARK: - Reading

    /// The list that a file has.
    /// - Throws: What is wrong with it.
    public init(_ bytes: [UInt8]) throws(WarmError) {
        try WarmList.checkHeader(bytes)
        var reader = Reader(bytes[WarmList.headerBytes...])
        let count = try reader.number(upTo: UInt64(WarmList.maxEntries))
        for _ in 0..<count {
            let name = String(validating: try reader.bytes(upTo: WarmList.maxName), as: UTF8.self)
            let size = try reader.number(upTo: UInt64(Pages.maxImageSize))
            let bands = Array(try reader.bytes(upTo: WarmList.maxBytes))
            guard let name, !entries.contains(where: { $0.name == name }) else { throw WarmList.damaged }
            _ = try WarmList.unpack(bands, size: Int64(size), isCheckOnly: true)
            entries.append(Entry(name: name, size: Int64(size), bands: bands))
        }
        guard reader.isAtEnd else { throw WarmList.damaged }
    }

    private static var damaged: WarmError { WarmError("it is damaged") }

    private static func checkHeader(_ bytes: [UInt8]) throws(WarmError) {
        guard bytes.count >= headerBytes, bytes.starts(with: magic) else { throw WarmError("it is no warm file") }
        let version = fixed(bytes[8..<12])
        guard version == UInt64(self.version) else {
            throw WarmError("its format has version \(version); expected version \(self.version)")
        }
        guard fixed(bytes[16..<24]) == UInt64(bytes.count - headerBytes),
            fixed(bytes[checksumBytes]) == UInt64(checksum(of: bytes))
        else { throw damaged }
    }

    private static func fixed(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { ($0 << 8) | UInt64($1) }
    }

    /// - Parameter isCheckOnly: Nothing is returned.
    private static func unpack(
        _ bands: [UInt8], size: Int64, isCheckOnly: Bool = false
    ) throws(WarmError) -> [ResidentRun] {
        let pageCount = (UInt64(size) + UInt64(BasePage.size) - 1) / UInt64(BasePage.size)
        var runs: [ResidentRun] = []
        var reader = Reader(bands[...])
        var limit = UInt64(ResidentRun.maxWarmth) + 1
        while !reader.isAtEnd {
            guard limit > 0 else { throw damaged }
            let warmth = try reader.number(upTo: limit - 1)
            limit = warmth
            let count = try reader.number(upTo: UInt64(reader.left / 2))
            guard count > 0 else { throw damaged }
            var end: UInt64 = 0
            for _ in 0..<count {
                let begin = end + (try reader.number(upTo: pageCount - end))
                guard begin < pageCount else { throw damaged }
                end = begin + (try reader.number(upTo: pageCount - begin - 1)) + 1
                if !isCheckOnly { runs.append(ResidentRun(begin..<end, warmth: UInt8(warmth))) }
            }
        }
        return runs
    }

    /// What is left of some bytes.
    private struct Reader {
        private var rest: ArraySlice<UInt8>

        init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

        var isAtEnd: Bool { rest.isEmpty }
        var left: Int { rest.count }

        mutating func number(upTo max: UInt64) throws(WarmError) -> UInt64 {
            var number: UInt64 = 0
            for shift in stride(from: UInt64(0), to: 64, by: 7) {
                guard let byte = rest.popFirst() else { throw WarmList.damaged }
                let bits = UInt64(byte & 0x7f)
                guard (bits << shift) >> shift == bits else { throw WarmList.damaged }
                number |= bits << shift
                if byte & 0x80 == 0 {
                    guard number <= max else { throw WarmList.damaged }
                    return number
                }
            }
            throw WarmList.damaged
        }

        /// Bytes that a number says how many there are of.
        mutating func bytes(upTo max: Int) throws(WarmError) -> ArraySlice<UInt8> {
            let count = Int(try number(upTo: UInt64(Swift.min(max, rest.count))))
            guard count <= rest.count else { throw WarmList.damaged }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count)
        }
    }

    /// CRC-32C of all bytes but the checksum's own.
    private static func checksum(of bytes: [UInt8]) -> UInt32 {
        let table = (0..<256 as Range<UInt32>).map { index in
            (0..<8).reduce(index) { sum, _ in sum & 1 == 0 ? sum >> 1 : (sum >> 1) ^ 0x82f6_3b78 }
        }
        var sum = UInt32.max
        for (index, byte) in bytes.enumerated() where !checksumBytes.contains(index) {
            sum = (sum >> 8) ^ table[Int((sum ^ UInt32(byte)) & 0xff)]
        }
        return ~sum
    }
}
