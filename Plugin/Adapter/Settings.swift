import Accessors
import Paging
import SystemPackage

/// The configuration from the command line, checked one key at a time. It knows neither nbdkit nor the machine.
///
/// The initial values are the defaults. `Option.all` has the possible values and their parsers.
struct Settings: Equatable {
    /// The image's path, as it was typed.
    private(set) var file: String?
    /// Bytes for cached pages and their tables.
    var memory = 256 << 20
    /// memory= as it was typed.
    var memoryText = "256M (the default)"
    /// Whether the host's page cache is bypassed.
    var direct = DirectMode.auto
    /// The largest readahead window of a stream, bytes; 0 for no readahead.
    var readahead = Pages.defaultReadahead
    /// How the kernel schedules the server's threads.
    var scheduling = SchedulingMode.normal

    // Writing.

    /// When a write is answered.
    var cache = CacheMode.writeback
    /// The share of the pages that may be dirty before writers wait.
    var dirtyShare = Pages.defaultDirtyShare
    /// Milliseconds that a page may be dirty before it is written out.
    var dirtyAge = 5000
    /// Seconds that the last will may take when the process crashes; 0 for no last will.
    var lastWill = 10
    /// Milliseconds that a flush may take, which limits the dirty pages; nil for no such limit.
    var flushTime: Int? = 10_000
    /// Whether the image is locked against other writers while clients may write.
    var lock = LockMode.on

    /// Takes one `key=value`. Except for file=, a repeated key replaces the earlier value.
    mutating func set(_ key: String, _ value: String) throws(ConfigurationError) {
        guard let option = Option.named(key) else {
            throw ConfigurationError(key, value, "unknown key", expected: Option.keys)
        }
        do throws(InvalidValue) {
            try option.take(value, &self)
        } catch {
            throw ConfigurationError(key, value, error.trouble, expected: error.expected)
        }
    }

    /// Takes the image's path. A second image is an error: silently serving only one of them would surprise.
    mutating func takeFile(_ path: String) throws(InvalidValue) {
        guard !path.isEmpty else {
            throw InvalidValue("the path is empty", expected: "the path of the image to serve")
        }
        if let file { throw InvalidValue("file=\(file) was given before", expected: "one image") }
        file = path
    }

    /// The image's path.
    /// - Throws: An error that says how to name one, if there is none.
    func requireFile() throws(ConfigurationError) -> String {
        guard let file else {
            throw ConfigurationError(
                "file= is missing; expected the path of the image to serve: nbdkit flexpage disk.img")
        }
        return file
    }

    /// The error if the memory cannot be allocated.
    func refusal(ofMemory error: AccessError) -> ConfigurationError {
        ConfigurationError(
            "memory", memoryText, "refused by the system (\(Errno(rawValue: error.code)))",
            expected: "a smaller size, or a higher limit (ulimit -v)")
    }
}
