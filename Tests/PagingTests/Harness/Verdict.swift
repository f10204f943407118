/// Errors that threads find, for the test that started them: an expectation counts only on the test's own thread.
final class Verdict: Sendable {
    let findings = Guarded<[String]>([])

    /// Something is wrong. The first few findings are kept.
    func blame(_ finding: @autoclosure () -> String) {
        findings.withLock { if $0.count < 5 { $0.append(finding()) } }
    }

    func expect(_ condition: Bool, _ finding: @autoclosure () -> String) {
        if !condition { blame(finding()) }
    }

    var hasFindings: Bool { findings.withLock { !$0.isEmpty } }
}
