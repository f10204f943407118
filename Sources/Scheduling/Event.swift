/// What a simulated thread is about to do, for the trace.
public struct Event {
    let what: StaticString
    let file: StaticString
    let line: UInt
    /// The number of the lock, condition or thread that it is about; 0 for none.
    let object: Int

    public init(_ what: StaticString, _ object: Int, _ file: StaticString, _ line: UInt) {
        self.what = what
        self.object = object
        self.file = file
        self.line = line
    }

    init(_ what: StaticString, _ file: StaticString, _ line: UInt) { self.init(what, 0, file, line) }
}
