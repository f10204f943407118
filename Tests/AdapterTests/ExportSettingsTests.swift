import Paging
import Testing

@testable import Adapter

/// The text of export=, and what else says which images are served.
@Suite struct ExportSettingsTests {
    private func error(_ pairs: (String, String)...) -> String? {
        var settings = Settings()
        do throws(ConfigurationError) {
            for (key, value) in pairs { try settings.set(key, value) }
            try settings.check()
            return nil
        } catch {
            return error.text
        }
    }

    /// A name, a path, and nothing else. The name ends at the first colon.
    @Test func nameAndPath() throws {
        let plain = try ExportSettings("root:/images/root.img")
        #expect(plain.name == "root" && plain.path == "/images/root.img")
        #expect(!plain.isReadOnly && plain.cache == nil && plain.reserve == nil)
        let colons = try ExportSettings("a b:c:d=e")
        #expect(colons.name == "a b" && colons.path == "c:d=e")
    }

    /// Options follow in any order, and two commas are one in the path.
    @Test func options() throws {
        let export = try ExportSettings("a:x,,y,,,,z.img,reserve=25%,ro,cache=writethrough")
        #expect(export.path == "x,y,,z.img")
        #expect(export.isReadOnly && export.cache == .writethrough && export.reserve == .share(0.25))
        #expect(try ExportSettings("a:x,reserve=64M").reserve == .bytes(64 << 20))
        #expect(try ExportSettings("a:x,cache=writeback,reserve=0").reserve == .bytes(0))
        // The third comma begins an option.
        #expect(throws: InvalidValue.self) { try ExportSettings("a:x,,,y") }
    }

    /// Each mistake has a sentence with what is wrong and what is expected.
    @Test(arguments: [
        ("", "no path; expected NAME:PATH, such as root:/images/root.img"), ("a", "no path; expected NAME:PATH"),
        (":x", "the name is empty; expected NAME:PATH"), ("a:", "the path is empty; expected NAME:PATH"),
        ("a:,ro", "the path is empty; expected NAME:PATH"), ("a:x,", "unknown option \"\"; expected ro, cache="),
        ("a:x,rw", "unknown option \"rw\"; expected ro, cache=writeback|writethrough or reserve=SIZE|PERCENT"),
        ("a:x,ro=1", "unknown option \"ro=1\"; expected ro,"), ("a:x,cache", "unknown option \"cache\"; expected ro,"),
        ("a:x,ro,ro", "ro is given twice; expected it once"),
        ("a:x,cache=writeback,cache=writeback", "cache= is given twice; expected it once"),
        ("a:x,cache=none", "cache=none: unknown mode; expected writeback or writethrough"),
        ("a:x,reserve=51%", "reserve=51%: not a share of the memory; expected a percentage from 0% to 50%"),
        ("a:x,reserve=much", "reserve=much: not a size; expected a number with a unit, such as 256M or 4G, or a perc"),
    ])
    func mistakes(_ value: String, _ expected: String) throws {
        let text = try #require(error(("export", value)))
        #expect(text.hasPrefix("export=\(value): \(expected)"), "\(text)")
        #expect(!text.contains("\n"))
    }

    /// The name is as long as NBD allows, and no longer.
    @Test func longNames() {
        let name = String(repeating: "n", count: 4096)
        #expect(error(("export", "\(name):x")) == nil)
        #expect(
            error(("export", "n\(name):x"))?.hasSuffix(": the name is too long; expected at most 4096 bytes") == true)
    }

    /// Names are compared byte by byte: two spellings of one accented letter are two names.
    @Test func spellings() {
        #expect(error(("export", "\u{e9}:x"), ("export", "e\u{301}:y")) == nil)
        #expect(error(("export", "\u{e9}:x"), ("export", "e\u{301}:y"), ("default", "e\u{301}")) == nil)
        #expect(error(("export", "\u{e9}:x"), ("default", "e\u{301}")) != nil)
        #expect(error(("export", "\u{e9}:x"), ("export", "\u{e9}:y")) != nil)
    }

    /// Exactly one of the three keys says what is served.
    @Test func oneSource() {
        #expect(error()?.hasPrefix("file= is missing; expected the path of the image to serve") == true)
        let expected = "expected file=, dir= or export=, not two of them"
        #expect(error(("file", "a"), ("dir", "b")) == "dir=b: file=a was given too; \(expected)")
        #expect(error(("export", "n:c"), ("file", "a")) == "export=n:c: file=a was given too; \(expected)")
        #expect(error(("export", "n:c"), ("dir", "b")) == "export=n:c: dir=b was given too; \(expected)")
        #expect(error(("dir", "b"), ("dir", "c")) == "dir=c: dir=b was given before; expected one directory")
        #expect(error(("dir", "")) == "dir=: the path is empty; expected the path of a directory of images")
        #expect(
            error(("export", "n:c"), ("export", "n:d"))
                == "export=n:d: the name \"n\" was given before, to c; expected each name once")
        #expect(error(("dir", "b")) == nil && error(("file", "a")) == nil)
        #expect(error(("export", "n:c"), ("export", "m:c")) == nil)
    }

    /// A default is one of the exports.
    @Test func defaults() {
        #expect(error(("export", "n:c"), ("export", "m:d"), ("default", "m")) == nil)
        #expect(
            error(("export", "n:c"), ("export", "m:d"), ("default", "x"))
                == "default=x: no export has that name; expected \"n\" or \"m\"")
        #expect(
            error(("file", "n"), ("default", "n"))
                == "default=n: file= serves one image under every name; expected dir= or export= with it")
        #expect(error(("dir", "n"), ("default", "")) == "default=: the name is empty; expected the name of an export")
        #expect(error(("default", "n"))?.hasPrefix("file= is missing") == true)
    }

    /// All reserves together are at most what the pager can reserve, whichever key says them: half of its pages.
    @Test func reserves() {
        let maximum = Pages.maxReserved(memory: 100 << 20)
        #expect(maximum < 50 << 20 && maximum > 48 << 20)
        #expect(error(("dir", "d"), ("memory", "100M"), ("reserve", "\(maximum)")) == nil)
        #expect(error(("dir", "d"), ("reserve", "50%")) == nil)
        #expect(
            error(("dir", "d"), ("reserve", "\(maximum + 1)"), ("memory", "100M"))
                == "reserve= is 4096 too much for an image; expected at most half of the pages in memory=, which is 48M"
        )
        #expect(error(("export", "a:x"), ("export", "b:y"), ("reserve", "25%")) == nil)
        #expect(error(("export", "a:x"), ("export", "b:y,reserve=0"), ("reserve", "50%")) == nil)
        #expect(
            error(("export", "a:x,reserve=30%"), ("export", "b:y,reserve=30M"), ("memory", "100M"))
                == "reserve= is 10M too much for all exports together; expected at most half of the pages in memory=, "
                + "which is 48M")
        #expect(error(("export", "a:x,reserve=7E"), ("export", "b:y,reserve=7E"))?.hasPrefix("reserve= is ") == true)
        #expect(error(("dir", "d"), ("reserve", "50"))?.isEmpty == nil, "without the sign it is a number of bytes")
    }
}
