import Accessors
import Paging
import SystemPackage

/// The configuration from the command line, checked one key at a time. It knows neither nbdkit nor the machine.
///
/// The initial values are the defaults. `Option.all` has the possible values and their parsers.
struct Settings: Equatable {
    /// Whose options these are.
    let role: Role

    // What is served: exactly one of the first three; none of them in a filter.

    /// The image's path, as it was typed.
    private(set) var file: String?
    /// The path of the directory of images, as it was typed.
    private(set) var directory: String?
    /// The fixed list of exports.
    private(set) var exports: [ExportSettings] = []
    /// The export that clients get who name none.
    var defaultExport: String?
    /// The memory that each image has for itself, unless its export says otherwise; nil if the pager decides.
    var reserve: Reserve?

    /// Bytes for cached pages and their tables.
    var memory = 256 << 20
    /// memory= as it was typed.
    var memoryText = "256M (the default)"
    /// Whether the host's page cache is bypassed.
    var direct = DirectMode.auto
    /// The largest readahead window of a stream, bytes; 0 for no readahead.
    var readahead = Pages.defaultReadahead
    /// How the kernel schedules the server's threads.
    var scheduling = SchedulingMode.auto

    /// The path of the file that the next server takes over, as it was typed; nil if nothing is left to it.
    var state: String?

    /// The path of the file that says what was in memory, as it was typed; nil for none.
    var warm: String?

    /// Bytes of the memory that are set aside for advice about its amount: some with control=, none without.
    var adviceBytes: Int { control == nil ? 0 : Pages.adviceBytes(memory: memory) }

    /// Bytes of the memory that are set aside for the lists of warm= and for staging buffers. With state=, as much as
    /// warm= and control= would take is set aside in any case: what is in the file is of use to a server that has other
    /// keys.
    var asideBytes: Int {
        let lists = warm == nil && state == nil ? 0 : Pages.warmListBytes(memory: memory)
        return stagingBytes + lists + (state == nil ? 0 : Pages.adviceBytes(memory: memory) - adviceBytes)
    }

    /// What is left for pages and their tables, bytes.
    var pagesBytes: Int { memory - adviceBytes - asideBytes }

    /// The path of the control socket, as it was typed; nil for none.
    var control: String?
    /// Its permissions: at first only the user who starts the server may connect.
    var controlMode: UInt32 = Settings.defaultControlMode
    private static let defaultControlMode: UInt32 = 0o600

    // Writing.

    // What a filter has below.

    /// The maximum number of contexts of a layer.
    var connections = 8
    /// Seconds that a request waits for a layer that has gone away.
    var retry = 30
    /// Bytes of the memory for what pieces of a request are put together in.
    var stagingBytes: Int { role == .filter ? min(memory / 8, 16 << 20) : 0 }

    /// The least that memory= may be, bytes.
    var minMemory: Int { role == .filter ? 2 << 20 : Pages.minMemory }

    /// How many calls that read ahead are under way at most. What is below a filter may be far away.
    var callsAhead: Int { role == .filter ? 16 : Prefetcher.defaultThreads }

    /// How many write-outs are under way at most; nil for what suits a disk.
    var writesUnderWay: Int? { role == .filter ? 16 : nil }

    /// When a write is answered.
    var cache = CacheMode.writeback
    /// The share of the pages that may be dirty before writers wait.
    var dirtyShare = Pages.defaultDirtyShare
    /// Milliseconds that a page may be dirty before it is written out.
    var dirtyAge = 5000
    /// Seconds that the last will may take when the process crashes; 0 for no last will.
    var lastWill = 10
    /// Seconds that the end waits for a disk that does nothing, or nil if it waits for ever.
    var endTime: Int? = 60
    /// Milliseconds that a flush may take, which limits the dirty pages; nil for no such limit.
    var flushTime: Int? = 10_000
    /// Whether the image is locked against other writers while clients may write.
    var lock = LockMode.on

    init(_ role: Role = .plugin) {
        self.role = role
        if role == .filter { readahead = 16 << 20 }
    }

    /// Takes one `key=value`. Except for file=, dir= and export=, a repeated key replaces the earlier value.
    mutating func set(_ key: String, _ value: String) throws(ConfigurationError) {
        guard let option = Option.named(key, of: role) else {
            throw ConfigurationError(key, value, "unknown key", expected: Option.keys(of: role))
        }
        do throws(InvalidValue) {
            try option.take(value, &self)
        } catch {
            throw ConfigurationError(key, value, error.trouble, expected: error.expected)
        }
    }

    /// Takes the image's path. A second image is an error: silently serving only one of them would surprise.
    mutating func takeFile(_ path: String) throws(InvalidValue) {
        let path = try Value.path(path, expected: "the path of the image to serve")
        if let file { throw InvalidValue("file=\(file) was given before", expected: "one image") }
        file = path
    }

    /// Takes the path of the directory of images.
    mutating func takeDirectory(_ path: String) throws(InvalidValue) {
        let path = try Value.path(path, expected: "the path of a directory of images")
        if let directory { throw InvalidValue("dir=\(directory) was given before", expected: "one directory") }
        directory = path
    }

    /// Takes one export of the fixed list.
    mutating func takeExport(_ text: String) throws(InvalidValue) {
        let export = try ExportSettings(text)
        if let other = exports.first(where: { $0.isCalled(export.name) }) {
            throw InvalidValue(
                "the name \(other.name.quoted()) was given before, to \(other.path)", expected: "each name once")
        }
        exports.append(export)
    }

    /// Checks that the keys fit together.
    func check() throws(ConfigurationError) {
        if role == .plugin { try checkSource() }
        try checkDefaultExport()
        try checkReserves()
        guard control != nil || controlMode == Settings.defaultControlMode else {
            throw ConfigurationError(
                "control-mode= is the mode of a socket that is not wanted; expected control= with it")
        }
    }

    /// What names the images, in the words of the command line.
    private var sources: [String] {
        [
            file.map { "file=\($0)" }, directory.map { "dir=\($0)" },
            exports.first.map { "export=\($0.name):\($0.path)" },
        ]
        .compactMap(\.self)
    }

    private func checkSource() throws(ConfigurationError) {
        let sources = sources
        guard sources.count > 0 else {
            throw ConfigurationError(
                "file= is missing; expected the path of the image to serve: nbdkit flexpage disk.img; or dir= or "
                    + "export=")
        }
        guard sources.count == 1 else {
            throw ConfigurationError(
                "\(sources[1]): \(sources[0]) was given too; expected file=, dir= or export=, not two of them")
        }
    }

    private func checkDefaultExport() throws(ConfigurationError) {
        guard let defaultExport else { return }
        if file != nil {
            throw ConfigurationError(
                "default", defaultExport, "file= serves one image under every name", expected: "dir= or export= with it"
            )
        }
        if directory == nil, !exports.contains(where: { $0.isCalled(defaultExport) }) {
            throw ConfigurationError(
                "default", defaultExport, "no export has that name",
                expected: exports.map { $0.name.quoted() }.joined(separator: " or "))
        }
    }

    /// What is reserved for one image, or for all exports of a fixed list.
    var reserves: [Reserve] {
        let each = exports.isEmpty ? [reserve] : exports.map { $0.reserve ?? reserve }
        return each.compactMap { $0 }
    }

    /// What is reserved must leave enough to lend.
    private func checkReserves() throws(ConfigurationError) {
        let excess = Pages.excess(of: reserves, memory: pagesBytes)
        guard excess > 0 else { return }
        let whose = exports.count <= 1 ? "an image" : "all exports together"
        let limit = ByteCount.roughly(Pages.maxReserved(memory: pagesBytes))
        throw ConfigurationError(
            "reserve= is \(ByteCount.roughly(excess)) too much for \(whose); expected at most half of the pages in "
                + "memory=, which is \(limit)")
    }

    /// The error if the memory cannot be allocated.
    func refusal(ofMemory error: AccessError) -> ConfigurationError {
        ConfigurationError(
            "memory", memoryText, "refused by the system (\(Errno(rawValue: error.code)))",
            expected: "a smaller size, or a higher limit (ulimit -v)")
    }
}
