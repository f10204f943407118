/// What an attachment waits for: SystemEvents, or a script in tests.
protocol AttachEvents {
    /// Milliseconds of a clock that only goes forward.
    var now: Int { get }

    /// Waits for the first of these.
    func next(milliseconds: Int) -> AttachEvent
}

enum AttachEvent {
    /// The kernel has noticed that a connection is dead. It says so just before it is: see Attachment.
    case linkDead
    /// A signal asks for the end.
    case stop
    /// Nothing has happened within the time.
    case time
}
