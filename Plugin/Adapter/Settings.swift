import Accessors
import Paging
import SystemPackage

/// What the command line said, checked a key at a time. It knows nothing of nbdkit, nor of the machine.
struct Settings: Equatable {
    static let defaultMemory = 256 << 20

    /// The image, as it was typed.
    private(set) var file: String?
    /// Bytes for pages and what describes them.
    private(set) var memory = defaultMemory
    /// memory= as it was typed.
    private(set) var memoryText = "256M (the default)"
    /// Whether the host's page cache is bypassed.
    private(set) var direct = DirectMode.auto

    /// The largest window that is read ahead of a stream, bytes; 0 for none.
    private(set) var readahead = Pages.usualReadahead

    /// How the kernel is to schedule the server's threads.
    private(set) var scheduling = SchedulingMode.normal

    // What writing takes.

    /// Whether a write is answered when it is on the image, rather than in memory.
    private(set) var isWriteThrough = false
    /// The share of the pages that may be dirty before writers wait.
    private(set) var dirtyShare = Pages.usualDirtyShare
    /// Milliseconds that a flush may take, as far as what is dirty decides that; nil where it does not matter.
    private(set) var flushTime: Int? = 10_000
    /// Milliseconds that something may be dirty before it goes out by itself.
    private(set) var dirtyAge = 5000
    /// Seconds that what is dirty may be brought out for when the process is about to die; 0 for not at all.
    private(set) var lastWill = 10
    /// Whether an image being written is locked against a second writer.
    private(set) var lock = LockMode.on

    /// The keys there are, for a person.
    private static var keys: String {
        "file=, memory=, direct=, readahead=, scheduling=, cache=, dirty=, dirty-age=, flush-time=, last-will= or lock="
    }

    /// Takes one `key=value`. A key that comes again replaces what it said before, but for file=.
    mutating func set(_ key: String, _ value: String) throws(Complaint) {
        switch key {
        case "file": try setFile(value)
        case "memory": try setMemory(value)
        case "direct": try setDirect(value)
        case "readahead": try setReadahead(value)
        case "scheduling": try setScheduling(value)
        case "cache": try setCache(value)
        case "dirty": try setDirty(value)
        case "dirty-age": try setDirtyAge(value)
        case "last-will": try setLastWill(value)
        case "flush-time": try setFlushTime(value)
        case "lock": try setLock(value)
        default: throw Complaint(key, value, "there is no such key", wanted: Self.keys)
        }
    }

    /// The image.
    /// - Throws: where there is none.
    func requireFile() throws(Complaint) -> String {
        guard let file else {
            throw Complaint("file= is missing; expected the path of the image to serve: nbdkit flexpage disk.img")
        }
        return file
    }

    /// Why the memory cannot be had.
    func refusal(ofMemory error: AccessError) -> Complaint {
        Complaint(
            "memory", memoryText, "the system refuses it (\(Errno(rawValue: error.code)))",
            wanted: "less, or a higher limit (ulimit -v)")
    }

    private mutating func setFile(_ value: String) throws(Complaint) {
        guard !value.isEmpty else {
            throw Complaint("file", value, "the path is empty", wanted: "the path of the image to serve")
        }
        // Quietly serving the last of two images would be a surprise.
        if let file {
            throw Complaint("file", value, "file=\(file) was given before", wanted: "one image")
        }
        file = value
    }

    private mutating func setMemory(_ value: String) throws(Complaint) {
        guard let bytes = ByteCount.parse(value) else {
            throw Complaint("memory", value, "this is not a size", wanted: "a number with a unit, as in 256M or 4G")
        }
        guard bytes >= Pages.leastMemory else {
            let least = ByteCount.text(Pages.leastMemory)
            throw Complaint("memory", value, "this is too small to serve an image with", wanted: "at least \(least)")
        }
        guard bytes <= Pages.largestMemory else {
            let largest = ByteCount.text(Pages.largestMemory)
            throw Complaint("memory", value, "more than can be served", wanted: "at most \(largest)")
        }
        memory = bytes
        memoryText = value
    }

    private mutating func setDirect(_ value: String) throws(Complaint) {
        guard let direct = DirectMode(rawValue: value) else {
            throw Complaint("direct", value, "there is no such way", wanted: "auto, on or off")
        }
        self.direct = direct
    }

    private mutating func setReadahead(_ value: String) throws(Complaint) {
        if value == "off" {
            readahead = 0
            return
        }
        guard let bytes = ByteCount.parse(value), bytes >= Pages.leastReadahead else {
            let least = ByteCount.text(Pages.leastReadahead)
            throw Complaint("readahead", value, "this is no window to read ahead", wanted: "at least \(least), or off")
        }
        readahead = bytes
    }

    private mutating func setScheduling(_ value: String) throws(Complaint) {
        guard let scheduling = SchedulingMode(rawValue: value) else {
            throw Complaint("scheduling", value, "there is no such way", wanted: "normal or batch")
        }
        self.scheduling = scheduling
    }

    private mutating func setCache(_ value: String) throws(Complaint) {
        switch value {
        case "writeback": isWriteThrough = false
        case "writethrough": isWriteThrough = true
        default: throw Complaint("cache", value, "there is no such way", wanted: "writeback or writethrough")
        }
    }

    /// A share in per cent, with or without the sign.
    private mutating func setDirty(_ value: String) throws(Complaint) {
        let digits = value.hasSuffix("%") ? value.dropLast() : value[...]
        guard let percent = Int(digits), Pages.dirtyShares.contains(Double(percent) / 100) else {
            throw Complaint("dirty", value, "this is no share of memory= that can be dirty", wanted: "1% to 90%")
        }
        dirtyShare = Double(percent) / 100
    }

    private mutating func setDirtyAge(_ value: String) throws(Complaint) {
        guard let time = Self.milliseconds(value) else {
            throw Complaint("dirty-age", value, "this is no such time", wanted: "seconds as in 5, or 500ms")
        }
        dirtyAge = time
    }

    private mutating func setFlushTime(_ value: String) throws(Complaint) {
        if value == "off" {
            flushTime = nil
            return
        }
        guard let time = Self.milliseconds(value) else {
            throw Complaint("flush-time", value, "this is no such time", wanted: "seconds as in 10, or 500ms, or off")
        }
        flushTime = time
    }

    /// A time in seconds, or in milliseconds with `ms`; nil where it is none, or longer than a day.
    private static func milliseconds(_ value: String) -> Int? {
        let isFine = value.hasSuffix("ms")
        let maxHours = 24
        guard let number = Int(isFine ? value.dropLast(2) : value[...]), number > 0,
            number <= maxHours * 3600 * (isFine ? 1000 : 1)
        else { return nil }
        return isFine ? number : number * 1000
    }

    private mutating func setLastWill(_ value: String) throws(Complaint) {
        if value == "off" {
            lastWill = 0
            return
        }
        let mostSeconds = 3600
        guard let seconds = Int(value), (1...mostSeconds).contains(seconds) else {
            throw Complaint(
                "last-will", value, "this is no such time", wanted: "seconds as in 10, at most \(mostSeconds), or off")
        }
        lastWill = seconds
    }

    private mutating func setLock(_ value: String) throws(Complaint) {
        guard let lock = LockMode(rawValue: value) else {
            throw Complaint("lock", value, "there is no such way", wanted: "on or off")
        }
        self.lock = lock
    }
}
