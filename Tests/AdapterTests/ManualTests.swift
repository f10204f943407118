import Foundation
import Interface
import TestSupport
import Testing

@testable import Adapter

/// What the documents say about counters and versions.
@Suite struct ManualTests {
    /// The names of the counters, in the order in which a server prints them.
    private func counters() throws -> [String] {
        let path = "/var/tmp/flexpage-manual.\(UUID().uuidString)"
        try Data(count: 1 << 20).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let server = Server { _ in }
        try server.configure("file", path)
        try server.configure("memory", "2M")
        _ = try server.openImage()
        _ = try server.begin()
        let counters = server.counters
        #expect(server.end().errors.isEmpty)
        return counters.split(separator: " ").map { String($0.prefix { $0 != "=" }) }
    }

    /// The man page documents each counter, and no other, in the order in which they are printed.
    @Test func everyCounter() throws {
        let counters = try counters()
        #expect(counters.count > 10 && counters.first == "hits")
        #expect(try Manual().counters == counters)
    }

    /// The man page's example line has only counters that exist.
    @Test func lineOfCounters() throws {
        let line = try #require(try Manual().text.firstMatch(of: #/\n counters: (.*)\n/#))
        let named = line.1.matches(of: #/([a-z_]+)=/#).map { String($0.1) }
        let counters = try counters()
        #expect(named.first == counters.first && named.last == counters.last)
        #expect(named == counters.filter(named.contains))
    }

    /// The man page documents each line of --dump-plugin, and no other, in the order in which they are printed.
    @Test func everyLineOfTheDump() throws {
        let keys = PluginDump.entries.map { "flexpage_\($0.key)" }
        #expect(keys.count > 10 && keys.first == "flexpage_min_memory")
        #expect(try Manual().dumpKeys == keys)
    }

    /// Man page, release notes and README are those of this version.
    @Test func version() throws {
        #expect(try Manual().text.contains("\n=head1 VERSION\n\nThis page describes version \(FLEXPAGE_VERSION)."))
        #expect(try Repository.text("README.md").contains("Version \(FLEXPAGE_VERSION)"))
        #expect(
            try Repository.text("Sources/flexpage/FlexpageCommand.swift").contains("version = \"\(FLEXPAGE_VERSION)\""))
        let notes = try Repository.text("Plugin/nbdkit-flexpage-release-notes.pod")
        let first = try #require(notes.firstMatch(of: #/\n=head1 RELEASE NOTES FOR FLEXPAGE (.*)\n/#))
        #expect(first.1 == FLEXPAGE_VERSION)
    }
}
