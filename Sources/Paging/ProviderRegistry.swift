public final class ProviderRegistry: @unchecked Sendable {
    public init(pages: Pages) {}
    /// The provider of the image, opened with `accessor` by the first who asks.
    public func open(_ identity: ImageIdentity, accessor: () throws(AccessError) -> any Accessor) throws(AccessError) -> Provider { fatalError() }
    /// One user less. The last one's leaving drops the image's flexpages.
    public func close(_ provider: Provider) {}
}
