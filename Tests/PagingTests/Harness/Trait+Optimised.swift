import Testing

extension Trait where Self == ConditionTrait {
    /// For optimised builds alone.
    static var ifOptimised: Self { .enabled(if: Optimised.isOn, "not optimised: Scripts/test optimised runs it") }
}
