/// Whether the tests are built as what is installed is: loops and look-ups that nobody has optimised allocate, retain
/// and release by themselves.
enum Optimised {
    static let isOn = !_isDebugAssertConfiguration()
}
