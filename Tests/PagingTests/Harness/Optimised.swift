import Testing

/// Whether the tests are built as the installed plugin is: unoptimised loops and look-ups allocate, retain and release
/// by themselves.
enum Optimised {
    static let isOn = !_isDebugAssertConfiguration()
}

extension Trait where Self == ConditionTrait {
    /// For optimised builds alone.
    static var ifOptimised: Self { .enabled(if: Optimised.isOn, "not optimised: Scripts/test optimised runs it") }
}
