/// Whether the tests are built as the installed plugin is: unoptimised loops and look-ups allocate, retain and release
/// by themselves.
enum Optimised {
    static let isOn = !_isDebugAssertConfiguration()
}
