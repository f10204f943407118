import Accessors
import Paging
import SystemPackage

/// What the command line said, checked a key at a time. It knows nothing of nbdkit, nor of the machine.
///
/// The values here are the defaults. What can be said, and how a value is taken, is in `Option.all`.
struct Settings: Equatable {
    /// The image, as it was typed.
    private(set) var file: String?
    /// Bytes for pages and what describes them.
    var memory = 256 << 20
    /// memory= as it was typed.
    var memoryText = "256M (the default)"
    /// Whether the host's page cache is bypassed.
    var direct = DirectMode.auto
    /// The largest window that is read ahead of a stream, bytes; 0 for none.
    var readahead = Pages.defaultReadahead
    /// How the kernel is to schedule the server's threads.
    var scheduling = SchedulingMode.normal

    // What writing takes.

    /// When a write is answered.
    var cache = CacheMode.writeback
    /// The share of the pages that may be dirty before writers wait.
    var dirtyShare = Pages.defaultDirtyShare
    /// Milliseconds that something may be dirty before it goes out by itself.
    var dirtyAge = 5000
    /// Seconds that what is dirty may be brought out for when the process is about to die; 0 for not at all.
    var lastWill = 10
    /// Milliseconds that a flush may take, as far as what is dirty decides that; nil where it does not matter.
    var flushTime: Int? = 10_000
    /// Whether an image being written is locked against a second writer.
    var lock = LockMode.on

    /// Takes one `key=value`. A key that comes again replaces what it said before, but for file=.
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

    /// The image. Quietly serving the last of two would be a surprise.
    mutating func takeFile(_ path: String) throws(InvalidValue) {
        guard !path.isEmpty else {
            throw InvalidValue("the path is empty", expected: "the path of the image to serve")
        }
        if let file { throw InvalidValue("file=\(file) was given before", expected: "one image") }
        file = path
    }

    /// The image.
    /// - Throws: where there is none.
    func requireFile() throws(ConfigurationError) -> String {
        guard let file else {
            throw ConfigurationError(
                "file= is missing; expected the path of the image to serve: nbdkit flexpage disk.img")
        }
        return file
    }

    /// Why the memory cannot be had.
    func refusal(ofMemory error: AccessError) -> ConfigurationError {
        ConfigurationError(
            "memory", memoryText, "the system refuses it (\(Errno(rawValue: error.code)))",
            expected: "less, or a higher limit (ulimit -v)")
    }
}
