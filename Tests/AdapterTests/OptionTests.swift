import Paging
import TestSupport
import Testing

@testable import Adapter

/// The table of options, and what people read of it: help, man page, README.
@Suite struct OptionTests {
    /// An option of the plugin or of the filter.
    struct Each: CustomTestStringConvertible, Sendable {
        let role: Role
        let option: Option
        var testDescription: String { "\(role): \(option.key)" }

        static let all = [Role.plugin, .filter].flatMap { role in
            Option.all(of: role).map { Each(role: role, option: $0) }
        }
    }

    /// Each key stands in the table once.
    @Test(arguments: [.plugin, .filter] as [Role]) func keysAreUnique(of role: Role) {
        #expect(Set(Option.all(of: role).map(\.key)).count == Option.all(of: role).count)
    }

    /// Each default is what holds if the option is not given.
    @Test(arguments: Each.all) func defaults(_ each: Each) throws {
        guard let value = each.option.defaultValue else { return }
        var settings = Settings(each.role)
        try settings.set(each.option.key, value)
        settings.memoryText = Settings().memoryText
        #expect(settings == Settings(each.role))
    }

    /// A word that the table has is accepted, and the name of a kind of value is no value.
    @Test(arguments: Each.all) func words(_ each: Each) {
        let option = each.option
        // Any text is a path or a name.
        let takesAnyText = ["file", "dir", "default", "state", "warm", "control"].contains(option.key)
        for value in option.values where !takesAnyText {
            var settings = Settings(each.role)
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
    @Test(arguments: Each.all) func helpOfDefaults(_ each: Each) {
        let option = each.option
        let value = option.defaultValue
        let phrases = value.map { ["(default \($0))", "(default \($0);", "default \($0))", "\($0), the default"] }
        #expect(
            (phrases ?? ["(required, unless ", "By default, "]).contains { option.help.contains($0) }, "\(option.help)")
    }

    // MARK: The man page

    /// The man page's SYNOPSIS has all options, and no other, with their values.
    @Test(arguments: [.plugin, .filter] as [Role]) func synopsis(of role: Role) throws {
        #expect(try Manual(of: role).synopsis == Option.all(of: role).map { $0.typedKey + $0.syntax })
    }

    /// PARAMETERS explains each value of each option, and no other.
    @Test(arguments: [.plugin, .filter] as [Role]) func parameters(of role: Role) throws {
        let expected = Option.all(of: role).flatMap { option in option.values.map { option.typedKey + $0 } }
        #expect(try Manual(of: role).items.map(\.term) == expected)
    }

    /// PARAMETERS tells each default.
    @Test(arguments: Each.all) func defaultInManual(_ each: Each) throws {
        let option = each.option
        let items = try Manual(of: each.role).items.filter { $0.key == option.key }
        let text = items.map(\.text).joined(separator: " ")
        guard let value = option.defaultValue else {
            #expect(text.contains("is required") || text.contains("By default, "))
            return
        }
        let isTold = "he default is C<\(value)>"
        let own = items.filter { $0.text.contains("This is the default.") }.map(\.value)
        #expect(own.isEmpty ? text.contains(isTold) : own == [value], "\(option.key): \(text)")
    }

    /// The man page mentions no other key, beside a few of other plugins and filters.
    @Test(arguments: [.plugin, .filter] as [Role]) func keysInManual(of role: Role) throws {
        let others = role == .filter ? ["dir", "dirfd", "dynamic-export", "exportname-strict", "shared"] : []
        for mention in try Manual(of: role).text.matches(of: #/[BC]<([a-z-]+)=/#) {
            let key = String(mention.1)
            #expect(Option.named(key, of: role) != nil || others.contains(key), "the man page has \(mention.0)")
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
