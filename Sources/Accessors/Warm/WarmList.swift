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
/// takes at most twice the file's bytes of memory: bands stay packed until `runs` are asked for.
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
        ///   They are visited more than once.
        public init(name: String, size: Int64, runs: some Sequence<ResidentRun>) {
            self.name = name
            self.size = size
            bands = WarmList.pack(runs)
        }

        fileprivate init(name: String, size: Int64, bands: [UInt8]) {
            (self.name, self.size, self.bands) = (name, size, bands)
        }

        /// What was in memory, the warmest first.
        public var runs: WarmRuns { WarmRuns(bands, size: size) }
    }

    public private(set) var entries: [Entry] = []

    /// The maximum number of images, and of bytes of a name.
    public static let maxEntries = 4096
    public static let maxName = 4096
    /// The maximum number of bytes in a file: enough for 8 TiB of memory in pages of 1 MiB, or 64 GiB in those of
    /// 4 KiB.
    public static let maxBytes = 64 << 20

    static let magic = Array("FLEXWARM".utf8)
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
    public var bytes: [UInt8] { Array(pieces.joined()) }

    /// The bytes of the file in pieces. Those that an entry has are not copied: a list can take as much as the rest of
    /// the server.
    var pieces: [[UInt8]] {
        var body: [[UInt8]] = [[]]
        WarmList.append(UInt64(entries.count), to: &body[0])
        for entry in entries {
            let name = Array(entry.name.utf8)
            var head: [UInt8] = []
            WarmList.append(UInt64(name.count), to: &head)
            head += name
            WarmList.append(UInt64(entry.size), to: &head)
            WarmList.append(UInt64(entry.bands.count), to: &head)
            body += [head, entry.bands]
        }
        var header = WarmList.magic
        WarmList.appendFixed(UInt64(WarmList.version), 4, to: &header)
        var length: [UInt8] = []
        WarmList.appendFixed(UInt64(body.reduce(0) { $0 + $1.count }), 8, to: &length)
        let sum = WarmList.checksum(of: [header[...], length[...]] + body.map { $0[...] })
        WarmList.appendFixed(UInt64(sum), 4, to: &header)
        return [header + length] + body
    }

    /// - Parameter runs: They are visited twice, and take no memory in between.
    private static func pack(_ runs: some Sequence<ResidentRun>) -> [UInt8] {
        var counts = [Int](repeating: 0, count: Int(ResidentRun.maxWarmth) + 1)
        var length = 0
        visit(runs, counts: counts) { length += WarmList.length(of: $0) }
        for run in runs { counts[Int(run.warmth)] += 1 }
        var bytes: [UInt8] = []
        // A band's count takes at most ten bytes.
        bytes.reserveCapacity(length + counts.count * 10)
        visit(runs, counts: counts) { append($0, to: &bytes) }
        return bytes
    }

    /// The numbers of the bands, in order. A warmth is one byte as a number too.
    private static func visit(
        _ runs: some Sequence<ResidentRun>, counts: [Int], _ body: (UInt64) -> Void
    ) {
        var last: ResidentRun?
        for run in runs {
            var end: UInt64 = 0
            if let last, last.warmth == run.warmth {
                end = last.pages.upperBound
            } else {
                precondition(last.map { $0.warmth > run.warmth } ?? true, "the warmest come first")
                body(UInt64(run.warmth))
                body(UInt64(counts[Int(run.warmth)]))
            }
            precondition(!run.pages.isEmpty && run.pages.lowerBound >= end, "runs of a band are in order")
            body(run.pages.lowerBound - end)
            body(UInt64(run.pages.count) - 1)
            last = run
        }
    }

    /// The bytes that a number takes.
    private static func length(of number: UInt64) -> Int {
        max(1, (UInt64.bitWidth - number.leadingZeroBitCount + 6) / 7)
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
        var reader = WarmReader(bytes[WarmList.headerBytes...])
        let count = try reader.number(upTo: UInt64(WarmList.maxEntries))
        for _ in 0..<count {
            let name = String(validating: try reader.bytes(upTo: WarmList.maxName), as: UTF8.self)
            let size = try reader.number(upTo: UInt64(Pages.maxImageSize))
            let bands = Array(try reader.bytes(upTo: WarmList.maxBytes))
            guard let name, !entries.contains(where: { $0.name == name }) else { throw WarmList.damaged }
            var runs = WarmRuns(bands, size: Int64(size)).makeIterator()
            while try runs.read() != nil {}
            entries.append(Entry(name: name, size: Int64(size), bands: bands))
        }
        guard reader.isAtEnd else { throw WarmList.damaged }
    }

    static var damaged: WarmError { WarmError("it is damaged") }

    private static func checkHeader(_ bytes: [UInt8]) throws(WarmError) {
        guard bytes.count >= headerBytes, bytes.starts(with: magic) else { throw WarmError("it is no warm file") }
        let version = fixed(bytes[8..<12])
        guard version == UInt64(self.version) else {
            throw WarmError("its format has version \(version); expected version \(self.version)")
        }
        guard fixed(bytes[16..<24]) == UInt64(bytes.count - headerBytes),
            fixed(bytes[checksumBytes])
                == UInt64(checksum(of: [bytes[..<checksumBytes.lowerBound], bytes[checksumBytes.upperBound...]]))
        else { throw damaged }
    }

    private static func fixed(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { ($0 << 8) | UInt64($1) }
    }

    /// CRC-32C.
    private static func checksum(of pieces: [ArraySlice<UInt8>]) -> UInt32 {
        let table = (0..<256 as Range<UInt32>).map { index in
            (0..<8).reduce(index) { sum, _ in sum & 1 == 0 ? sum >> 1 : (sum >> 1) ^ 0x82f6_3b78 }
        }
        var sum = UInt32.max
        for piece in pieces {
            for byte in piece { sum = (sum >> 8) ^ table[Int((sum ^ UInt32(byte)) & 0xff)] }
        }
        return ~sum
    }
}
