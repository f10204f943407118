import Glibc
import Paging

/// An image that lies in a layer.
///
/// It has one content for everybody, so there is one of these for a layer, and it keeps its contexts as long as it
/// lives. Who else changes the layer meanwhile is not seen: nothing here can tell.
///
/// **What a layer takes.** A call is one run of memory, at most `maxRequest` long, at a multiple of `minBlock`. What is
/// longer is divided at multiples of `preferredBlock`. Nothing is made longer to end there: the cache would fill with
/// what nobody has asked for, and reading ahead makes long calls where that is of use. Pieces of a request that are
/// shorter than a staging buffer are put together in one. Where `minBlock` is larger than a base page, a write begins
/// and ends with a read of what else is in its first and its last block (LayerImage+Transfers).
///
/// **Zeroes and trims are durable when they return**: a flush follows each. So a layer that goes away and comes back
/// can only have forgotten pages, which the pager writes again.
///
/// Thread rules: as `Accessor` and `ImageSource`.
public final class LayerImage: ImageSource, @unchecked Sendable {
    let pool: LayerPool
    let staging: StagingBuffers
    /// Whether a write of parts of blocks is under way: two of them may share a block.
    let isMerging = Monitored(false)
    public let identity: ImageIdentity
    public let label: String
    /// What zeroes are written from.
    let zeroes: ZeroBytes

    /// - Parameter contexts: The maximum number of contexts that it opens.
    /// - Parameter retryTime: How long a request waits for a layer that has gone away, milliseconds.
    /// - Parameter stagingBytes: For staging buffers; at least 64 KiB.
    /// - Returns: Nil if the layer has no context to give. It has logged why.
    public init?(
        _ layer: any Layer, exportName: String, isReadOnly: Bool, contexts: Int, retryTime: Int, stagingBytes: Int,
        log: @escaping @Sendable (String) -> Void
    ) {
        // The pool comes last, because it would have to be closed.
        guard let zeroes = ZeroBytes(),
            let pool = LayerPool(
                layer, exportName: exportName, isReadOnly: isReadOnly, contexts: contexts, retryTime: retryTime,
                log: log)
        else { return nil }
        self.pool = pool
        self.zeroes = zeroes
        label = layer.label
        // A process has one, and no file has device 0.
        identity = ImageIdentity(device: 0, inode: 1)
        // A block must fit, and its neighbour.
        let least = max(4096, pool.properties.minBlock * 2)
        let size = max(least, min(stagingBytes / LayerImage.maxStaged, 1 << 20) / 4096 * 4096)
        staging = StagingBuffers(count: max(1, min(LayerImage.maxStaged, stagingBytes / size)), size: size)
    }

    /// Ends it. No call is under way, and none comes.
    public func close() { pool.close() }

    /// Whether it serves no more, because another image has come in its place.
    public var isOver: Bool { pool.isOver }

    var properties: LayerProperties { pool.properties }

    /// The maximum number of requests that are put together at once.
    private static let maxStaged = 16

    // MARK: - Accessor

    public var size: Int64 { properties.size }

    public var isWritable: Bool { properties.canWrite }

    public var isChangeDurable: Bool { true }

    public func makeDurable() throws(AccessError) {
        if isWritable { try pool.flush() }
    }

    // MARK: - ImageSource

    public var readOnlyReason: String? { isWritable ? nil : "\(label): it cannot be written" }
    public var isRotational: Bool { properties.isRotational }
    public var descriptors: [Int32] { [] }
    public func privilegesDropped() {}
    public func beginWriting(ifChanged forget: () -> Void) throws {}
    public func endWriting() {}
    public func beginReading(ifChanged forget: () -> Void) {}
    public func noteLastStamp() {}
    public func newsOfName() -> String? { nil }
}
