import Testing

extension Trait where Self == ConditionTrait {
    /// For optimised builds alone.
    static var ifOptimised: Self { .enabled(if: Optimised.isOn, "not optimised: Scripts/test optimised runs it") }

    /// For what one thread does at length. The thread sanitizer has nothing to find there.
    static var oneThread: Self { .enabled(if: !Sanitizer.isThread, "one thread: Scripts/test address runs it") }
}
