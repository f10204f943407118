import Testing

@testable import flexpage

/// What `flexpage advise` accepts.
@Suite struct AdviseTests {
    /// A server's advice is about its own memory and what its clients did.
    @Test(arguments: [["--memory", "1G"], ["--pages", "fixed"], ["--writes"], ["--compare"]])
    func optionsOfTraces(arguments: [String]) throws {
        #expect(throws: (any Error).self) { _ = try Advise.parse(["/run/control"] + arguments) }
        #expect(throws: Never.self) { _ = try Advise.parse(["--trace", "a.csv"] + arguments) }
    }

    @Test func serverOrTraces() throws {
        #expect(try Advise.parse(["/run/control"]).path == "/run/control")
        #expect(throws: (any Error).self) { _ = try Advise.parse([]) }
        #expect(throws: (any Error).self) { _ = try Advise.parse(["/run/control", "--trace", "a.csv"]) }
    }
}
