extension PageMapper {
    /// How far a request has come.
    struct RequestProgress {
        /// What this request had populated reaches up to here, so finding it is not a hit.
        var populatedUpTo: Int64 = 0
        /// The image has been asked for holes up to here.
        var askedUpTo: Int64 = 0
        /// A wide fill has failed; up to here fills are one base page each, so that only the bad page fails.
        var cautiousUpTo: Int64 = 0
        /// A writer's place among those who wait at the dirty limit, and up to where it has it.
        var turn: UInt64 = 0
        var turnUpTo: Int64 = 0
    }
}
