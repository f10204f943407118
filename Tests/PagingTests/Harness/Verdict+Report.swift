import Testing

extension Verdict {
    /// Reports the findings to the test that runs on this thread.
    func report(_ context: String, sourceLocation: SourceLocation = #_sourceLocation) {
        for finding in findings.withLock({ $0 }) {
            Issue.record("\(context): \(finding)", sourceLocation: sourceLocation)
        }
    }
}
