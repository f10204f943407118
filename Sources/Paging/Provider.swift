/// An open image: its Accessor, AccessMap and PageMapper. One per image however many clients have it open.
///
/// Made and ended by the ProviderRegistry. Thread rules: any thread, any time.
public final class Provider: Sendable {
    /// What reaches the image.
    public let accessor: any Accessor
    public let identity: ImageIdentity
    let mapper: PageMapper
    let image: UInt16

    init(identity: ImageIdentity, image: UInt16, pages: Pages, accessor: any Accessor) {
        self.identity = identity
        self.image = image
        self.accessor = accessor
        mapper = PageMapper(image: image, pages: pages, accessor: accessor)
    }
}
