extension PageMapper {
    /// How far a request has come.
    struct RequestProgress {
        /// This request's own fills have reached up to here, so what it finds before is not a hit.
        var populatedUpTo: Int64 = 0
        /// This request has asked the image for holes up to here.
        var askedUpTo: Int64 = 0
        /// A wide fill has failed. Up to here each fill is one base page, so that only the bad page fails.
        var cautiousUpTo: Int64 = 0
        /// A read that went on past what is wanted has failed, or a wide one has. Up to here none goes on.
        var wantedOnlyUpTo: Int64 = 0
        /// A page that is written in part could not be filled. Up to here, parts go around the Memory if they can.
        var unfillableUpTo: Int64 = 0
        /// A writer's turn among the writers that wait at the dirty limit, and up to where it has that turn.
        var turn: UInt64 = 0
        var turnUpTo: Int64 = 0
    }
}
