/// The meaning of a line in a trace.
enum TraceLine: Equatable {
    case request(TraceRequest)
    /// A request that neither reads nor writes data, such as a flush or a trim.
    case otherRequest
    /// Nothing relevant: a header, a reply, the opening of a file.
    case nothing
}
