import Accessors
import Paging
import Testing

@testable import Adapter

/// The command line, a key at a time, and the errors for wrong values.
@Suite struct SettingsTests {
    private func settings(_ pairs: (String, String)...) throws -> Settings {
        var settings = Settings()
        for (key, value) in pairs { try settings.set(key, value) }
        return settings
    }

    private func error(_ pairs: (String, String)...) -> String? {
        var settings = Settings()
        do throws(ConfigurationError) {
            for (key, value) in pairs { try settings.set(key, value) }
            return nil
        } catch {
            return error.text
        }
    }

    /// The values that hold if no key is given.
    @Test func defaults() throws {
        let settings = try settings(("file", "disk.img"))
        #expect(settings.file == "disk.img")
        #expect(settings.memory == 256 << 20)
        #expect(settings.direct == .auto)
    }

    /// What is set aside for control= and warm=. With state=, it is the same whether they are there or not.
    @Test func setAside() throws {
        let (state, warm, control) = (("state", "/dev/shm/s"), ("warm", "w"), ("control", "c"))
        let bytes = 256 << 20
        #expect(try settings().pagesBytes == bytes)
        #expect(try settings(warm).pagesBytes == bytes - bytes / 256)
        let advice = Pages.adviceBytes(memory: bytes)
        #expect(try settings(control).pagesBytes == bytes - advice && settings(control).adviceBytes == advice)
        #expect(try settings(state).adviceBytes == 0)
        for keys in [[], [warm], [control], [warm, control]] {
            var settings = try settings(state)
            for (key, value) in keys { try settings.set(key, value) }
            #expect(settings.pagesBytes == bytes - advice - bytes / 256)
        }
        #expect(try settings(("memory", "1M"), state, warm, control).pagesBytes == 1 << 20)
        #expect(try settings(("memory", "1028K"), warm).pagesBytes == 1 << 20)
    }

    /// Keys are taken, and a later memory= and direct= replace an earlier one.
    @Test func taken() throws {
        let settings = try settings(
            ("file", "a b=c.img"), ("memory", "1M"), ("memory", "64M"), ("direct", "on"), ("direct", "off"))
        #expect(settings.file == "a b=c.img")
        #expect(settings.memory == 64 << 20)
        #expect(settings.direct == .off)
    }

    /// The minimum of memory is accepted, and one byte less is not.
    @Test func minMemory() throws {
        #expect(try settings(("memory", "\(Pages.minMemory)")).memory == Pages.minMemory)
        let text = error(("memory", "\(Pages.minMemory - 1)"))
        #expect(text?.hasPrefix("memory=\(Pages.minMemory - 1): ") == true)
        #expect(text?.hasSuffix("expected at least \(ByteCount.text(Pages.minMemory))") == true)
    }

    /// Each error names the key, the value and what is expected.
    @Test(arguments: [
        ("memory", "lots", "not a size; expected a number with a unit"),
        ("memory", "0", "too small; expected at least"),
        ("direct", "yes", "unknown mode; expected auto, on or off"),
        ("direct", "ON", "auto, on or off"), ("file", "", "the path of the image"),
        ("files", "x", "unknown key; expected file="),
        ("Memory", "1G", "unknown key; expected file=, dir=, export=, default="),
    ])
    func errors(_ key: String, _ value: String, _ expected: String) {
        let text = error((key, value))
        #expect(text?.hasPrefix("\(key)=\(value): ") == true)
        #expect(text?.contains(expected) == true)
        #expect(text?.contains("\n") == false)
    }

    /// The image must be named, and once.
    @Test func oneImage() throws {
        #expect(throws: ConfigurationError.self) { try Settings().check() }
        let text = error(("file", "a"), ("file", "b"))
        #expect(text == "file=b: file=a was given before; expected one image")
    }

    /// The values of the keys of writing and reading ahead if they are not given.
    @Test func defaultsOfWriting() throws {
        let settings = try settings()
        #expect(settings.cache == .writeback && settings.lock == .on)
        #expect(settings.dirtyShare == 0.4)
        #expect(settings.dirtyAge == 5000)
        #expect(settings.readahead == 4 << 20)
    }

    /// The keys of writing are taken as they are meant: shares with and without their sign, seconds and milliseconds.
    @Test func keysOfWriting() throws {
        #expect(try settings(("cache", "writethrough")).cache == .writethrough)
        #expect(try settings(("cache", "writethrough"), ("cache", "writeback")).cache == .writeback)
        #expect(try settings(("dirty", "20%")).dirtyShare == 0.2)
        #expect(try settings(("dirty", "90")).dirtyShare == 0.9)
        #expect(try settings(("dirty-age", "500ms")).dirtyAge == 500)
        #expect(try settings(("dirty-age", "7")).dirtyAge == 7000)
        #expect(try settings(("dirty-age", "86400")).dirtyAge == 86_400_000)
        #expect(try settings(("lock", "off")).lock == .off)
    }

    /// The window of reading ahead is taken, and it can be off.
    @Test func readahead() throws {
        #expect(try settings(("readahead", "64k")).readahead == 64 << 10)
        #expect(try settings(("readahead", "1M"), ("readahead", "off")).readahead == 0)
        #expect(error(("readahead", "65535")) == "readahead=65535: too small; expected at least 64K, or off")
        #expect(error(("readahead", "on"))?.hasPrefix("readahead=on: not a size; expected a number") == true)
    }

    /// Shares and times that make no sense are refused.
    @Test(arguments: [
        ("dirty", "0"), ("dirty", "91%"), ("dirty", "half"), ("dirty-age", "0"), ("dirty-age", "86401"),
        ("dirty-age", "86400001ms"), ("dirty-age", "-1"), ("dirty-age", "5s"), ("dirty-age", "+5"),
        ("dirty-age", "+5ms"), ("dirty", "+20"), ("dirty", "+20%"),
    ])
    func sensesOfWriting(_ key: String, _ value: String) {
        #expect(error((key, value))?.hasPrefix("\(key)=\(value): ") == true)
    }

    /// The maximum of memory is accepted, and one byte more is not.
    @Test func maxMemory() throws {
        #expect(try settings(("memory", "8T")).memory == Pages.maxMemory)
        #expect(error(("memory", "\(Pages.maxMemory + 1)"))?.hasSuffix(": too large; expected at most 8T") == true)
    }

    /// The last will takes ten seconds, or the time given, or is off.
    @Test func lastWill() throws {
        #expect(try settings().lastWill == 10)
        #expect(try settings(("last-will", "3")).lastWill == 3)
        #expect(try settings(("last-will", "off")).lastWill == 0)
        #expect(try settings(("end-time", "3")).endTime == 3)
        #expect(try settings(("end-time", "off")).endTime == nil)
        #expect(try settings().endTime == 60)
        for value in ["0", "-1", "+5", "3601", "10s", "", "off "] {
            let expected = "not a time; expected a number of seconds from 1 to 3600, such as 10, or off"
            #expect(error(("last-will", value)) == "last-will=\(value): \(expected)")
        }
    }

    /// flush-time= is taken in seconds and milliseconds, can be switched off, and is ten seconds by default.
    @Test func flushTime() throws {
        #expect(try settings().flushTime == 10_000)
        #expect(try settings(("flush-time", "3")).flushTime == 3000)
        #expect(try settings(("flush-time", "500ms")).flushTime == 500)
        #expect(try settings(("flush-time", "3"), ("flush-time", "off")).flushTime == nil)
        for value in ["0", "-1", "+5", "+5ms", "soon", "", "ms", "86401", "1.5", "٣"] {
            let expected =
                "not a time; expected a number of seconds from 1 to 86400, such as 10, or of milliseconds, such as "
                + "500ms, or off"
            #expect(error(("flush-time", value)) == "flush-time=\(value): \(expected)")
        }
    }

    /// There are three modes of scheduling, and the last one given holds.
    @Test func scheduling() throws {
        #expect(try settings().scheduling == .auto)
        #expect(try settings(("scheduling", "batch")).scheduling == .batch)
        #expect(try settings(("scheduling", "batch"), ("scheduling", "normal")).scheduling == .normal)
        #expect(error(("scheduling", "idle")) == "scheduling=idle: unknown mode; expected auto, normal or batch")
    }
}
