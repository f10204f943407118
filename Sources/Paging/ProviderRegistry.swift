import Glibc

/// The open images, found by identity, so that clients of one image share one Provider and see each other's writes.
///
/// Thread rules: any thread. Opening and closing take one lock, and hold it while the image is opened: two clients who
/// come at once must not open it twice. It is not on the data path.
public final class ProviderRegistry: @unchecked Sendable {
    private let pages: Pages
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let lock: Lock
    private var providers: [ImageIdentity: (provider: Provider, users: Int)] = [:]
    private var inOrder: [Provider] = []

    public init(pages: Pages) {
        self.pages = pages
        mutex = .allocate(capacity: 1)
        lock = Lock(in: mutex)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// The Provider of the image, for one user more. The first who asks opens it with `accessor`.
    /// - Throws: What `accessor` throws; ENFILE where as many images are open as the Memory has ledgers for.
    public func open(
        _ identity: ImageIdentity, accessor: () throws(AccessError) -> any Accessor
    ) throws(AccessError) -> Provider {
        lock.lock()
        defer { lock.unlock() }
        if let open = providers[identity] {
            providers[identity] = (open.provider, open.users + 1)
            return open.provider
        }
        let taken = Set(providers.values.map(\.provider.image))
        guard let image = (0..<UInt16(pages.memory.metadata.images)).first(where: { !taken.contains($0) }) else {
            throw AccessError(ENFILE)
        }
        let provider = Provider(identity: identity, image: image, pages: pages, accessor: try accessor())
        providers[identity] = (provider, 1)
        inOrder.append(provider)
        return provider
    }

    /// Every open image. Copies nothing.
    public var all: [Provider] { lock.withLock { inOrder } }

    /// One user less. When the last one leaves, the image is flushed, its flexpages are dropped and the Provider is
    /// forgotten; no request of it may be under way then.
    /// - Throws: The flush's error. The Provider and what could not be written stay, for the next who opens the image.
    public func close(_ provider: Provider) throws(AccessError) {
        lock.lock()
        defer { lock.unlock() }
        guard let open = providers[provider.identity], open.provider === provider, open.users > 0 else {
            preconditionFailure("a Provider is closed once by each who opened it")
        }
        providers[provider.identity] = (provider, open.users - 1)
        guard open.users == 1 else { return }
        pages.prefetches.forget(provider)
        if provider.accessor.isWritable { try provider.flush() }
        provider.mapper.dropAll()
        providers[provider.identity] = nil
        inOrder.removeAll { $0 === provider }
    }
}
