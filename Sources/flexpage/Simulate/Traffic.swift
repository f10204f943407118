/// The accesses to an image: I/Os and bytes in each direction.
struct Traffic: Equatable {
    var reads = 0
    var bytesRead = 0
    var writes = 0
    var bytesWritten = 0

    static func + (left: Traffic, right: Traffic) -> Traffic {
        Traffic(
            reads: left.reads + right.reads, bytesRead: left.bytesRead + right.bytesRead,
            writes: left.writes + right.writes, bytesWritten: left.bytesWritten + right.bytesWritten)
    }

    /// Reads and writes.
    var operations: Int { reads + writes }
}
