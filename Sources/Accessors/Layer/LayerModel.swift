/// How many calls a layer bears at once. The values are those of nbdkit's thread models.
public enum LayerModel: Int32, Sendable {
    /// One context, and one call at a time.
    case oneConnection = 0
    /// One call at a time.
    case oneCall = 1
    /// One call at a time in each context.
    case oneCallAContext = 2
    /// Any number of calls in any context.
    case parallel = 3
}
