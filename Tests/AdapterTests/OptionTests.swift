import Paging
import TestSupport
import Testing

@testable import Adapter

/// The table of options, and what people read of it: help, man page, README.
@Suite struct OptionTests {
    private static let documented = Option.all.map { $0.typedKey + $0.syntax }

    /// Each key stands in the table once.
    @Test func keysAreUnique() {
        #expect(Set(Option.all.map(\.key)).count == Option.all.count)
    }

    /// Each default is what holds if the option is not given.
    @Test(arguments: Option.all) func defaults(_ option: Option) throws {
        guard let value = option.defaultValue else { return }
        var settings = Settings()
        try settings.set(option.key, value)
        settings.memoryText = Settings().memoryText
        #expect(settings == Settings())
    }

    /// A word that the table has is accepted, and the name of a kind of value is no value.
    @Test(arguments: Option.all) func words(_ option: Option) {
        // Any text is a path or a name.
        let takesAnyText = ["file", "dir", "default", "state", "warm", "control"].contains(option.key)
        for value in option.values where !takesAnyText {
            var settings = Settings()
            let isWord = value == value.lowercased()
            #expect((try? settings.set(option.key, value)) != nil || !isWord, "\(option.key)=\(value) is refused")
            #expect((try? settings.set(option.key, value)) == nil || isWord, "\(option.key)=\(value) is accepted")
        }
    }

    /// The error for an unknown key names the keys there are, in order.
    @Test func unknownKey() {
        var settings = Settings()
        let error = #expect(throws: ConfigurationError.self) { try settings.set("size", "12") }
        let all = Option.all.map { "\($0.key)=" }
        let keys = all.dropLast().joined(separator: ", ") + " or " + all[all.count - 1]
        #expect(error?.text == "size=12: unknown key; expected \(keys)")
    }

    /// The help has the key at the left. At the right, beside or below it, it says what the key does.
    @Test func help() {
        let help = "One two three four five six seven eight nine ten eleven twelve thirteen."
        let short = Option("sixteen-letters", ["N"], default: "1", help: help) { _, _ in }
        #expect(
            short.helpEntry == """
                sixteen-letters=<N>
                                  One two three four five six seven eight nine ten eleven
                                  twelve thirteen.
                """)
        let file = Option("file", ["N", "off"], default: nil, help: "A word.") { _, _ in }
        #expect(file.helpEntry == "[file=]<N>|off    A word.")
    }

    /// The help names each option's default.
    @Test(arguments: Option.all) func helpOfDefaults(_ option: Option) {
        let value = option.defaultValue
        let phrases = value.map { ["(default \($0))", "(default \($0);", "default \($0))", "\($0), the default"] }
        #expect(
            (phrases ?? ["(required, unless ", "By default, "]).contains { option.help.contains($0) }, "\(option.help)")
    }

    // MARK: The man page

    /// The man page's SYNOPSIS has all options, and no other, with their values.
    @Test func synopsis() throws {
        #expect(try Manual().synopsis == Self.documented)
    }

    /// PARAMETERS explains each value of each option, and no other.
    @Test func parameters() throws {
        let expected = Option.all.flatMap { option in option.values.map { option.typedKey + $0 } }
        #expect(try Manual().items.map(\.term) == expected)
    }

    /// PARAMETERS tells each default.
    @Test(arguments: Option.all) func defaultInManual(_ option: Option) throws {
        let items = try Manual().items.filter { $0.key == option.key }
        let text = items.map(\.text).joined(separator: " ")
        guard let value = option.defaultValue else {
            #expect(text.contains("is required") || text.contains("By default, "))
            return
        }
        let isTold = "he default is C<\(value)>"
        let own = items.filter { $0.text.contains("This is the default.") }.map(\.value)
        #expect(own.isEmpty ? text.contains(isTold) : own == [value], "\(option.key): \(text)")
    }

    /// The man page mentions no other key.
    @Test func keysInManual() throws {
        for mention in try Manual().text.matches(of: #/[BC]<([a-z-]+)=/#) {
            #expect(Option.named(String(mention.1)) != nil, "the man page has \(mention.0)")
        }
    }

    // MARK: The README

    /// The README names only keys that exist.
    @Test func keysInReadme() throws {
        let mentions = try Repository.text("README.md").matches(of: #/[ `(]([a-z][a-z-]*)=[A-Za-z0-9`]/#)
        #expect(mentions.count > 5)
        for mention in mentions {
            #expect(Option.named(String(mention.1)) != nil, "the README has \(mention.0)")
        }
    }

    /// The README's table of options has values and defaults that exist.
    @Test func tableInReadme() throws {
        let rows = try Repository.text("README.md").matches(of: #/\n\| `([a-z-]+)=([^`]*)` \| `([^`]*)` \|/#)
        #expect(rows.count > 2)
        for row in rows {
            let option = try #require(Option.named(String(row.1)))
            #expect(option.values.contains(String(row.2)), "the README has \(row.0)")
            #expect(option.defaultValue == String(row.3), "the README has \(row.0)")
        }
    }
}
