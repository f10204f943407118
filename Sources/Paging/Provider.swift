public final class Provider: @unchecked Sendable {
    public let accessor: any Accessor
    init(accessor: any Accessor) { self.accessor = accessor }
}
