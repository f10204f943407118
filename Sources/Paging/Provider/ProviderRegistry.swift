import Glibc

/// The open images, found by identity, so that clients of one image share one Provider and see each other's writes.
///
/// Thread rules: any thread. Its lock is not held during I/O: an image that is being opened or closed is noted, and a
/// thread that wants the image meanwhile waits. It is not on the data path.
public final class ProviderRegistry: @unchecked Sendable {
    private let pages: Pages
    private let monitor = Monitor(.registry)
    private var entries: [Entry] = []
    /// Images being opened or closed.
    private var changing: Set<ImageIdentity> = []
    private var numbersInUse: Set<UInt16> = []
    /// The image that `visitEach` is visiting.
    private var visited: Provider?

    private struct Entry {
        let provider: Provider
        var users: Int
    }

    public init(pages: Pages) { self.pages = pages }

    deinit { monitor.destroy() }

    /// The Provider of the image, for one more user. The first user opens it with `accessor`.
    /// - Throws: What `accessor` throws; ENFILE if as many images are open as the Memory has Ledgers for; EFBIG for an
    ///   image of more than 2⁶⁰ bytes.
    public func open(
        _ identity: ImageIdentity, accessor: () throws(AccessError) -> any Accessor
    ) throws(AccessError) -> Provider {
        monitor.lock()
        defer { monitor.unlock() }
        while changing.contains(identity) { monitor.wait() }
        if let index = entries.firstIndex(where: { $0.provider.identity == identity }) {
            entries[index].users += 1
            pages.setActive(true, image: entries[index].provider.image)
            return entries[index].provider
        }
        let numbers = 0..<UInt16(pages.memory.metadata.images)
        guard let number = numbers.first(where: { !numbersInUse.contains($0) }) else { throw AccessError(ENFILE) }
        numbersInUse.insert(number)
        do throws(AccessError) {
            let accessor = try changingUnlocked(identity, accessor)
            guard accessor.size <= PageKey.maxImageSize else { throw AccessError(EFBIG) }
            let provider = Provider(identity: identity, image: number, pages: pages, accessor: accessor)
            entries.append(Entry(provider: provider, users: 1))
            pages.setActive(true, image: number)
            return provider
        } catch {
            numbersInUse.remove(number)
            throw error
        }
    }

    /// One user less. When the last user leaves, the image is flushed, its flexpages are dropped and the Provider is
    /// forgotten. No request of the image may be under way then.
    /// - Throws: The flush's error. Data that could not be written stays, and the Provider with it, until the Writeback
    ///   has brought it out and closed the image. A user that opens it before that gets the same Provider. What
    ///   a failed sync has lost stays lost, and the image can be opened anew.
    public func close(_ provider: Provider) throws(AccessError) {
        monitor.lock()
        defer { monitor.unlock() }
        guard let index = entries.firstIndex(where: { $0.provider === provider }), entries[index].users > 0 else {
            preconditionFailure("a Provider is closed once by each who opened it")
        }
        entries[index].users -= 1
        guard entries[index].users == 0 else { return }
        pages.setActive(false, image: provider.image)
        while visited === provider { monitor.wait() }
        if let failure = closeIfUnused(provider) { throw failure }
    }

    /// Closes images that no client uses any more, and that are open only because their data could not be brought out.
    /// Those whose data still cannot be brought out stay open. Called by the thread that visits.
    func closeUnused() {
        monitor.lock()
        defer { monitor.unlock() }
        for provider in entries.filter({ $0.users == 0 }).map(\.provider) { _ = closeIfUnused(provider) }
    }

    /// Flushes the image, drops its pages and forgets it, unless a user has opened it meanwhile, or data stays. The
    /// monitor is locked.
    /// - Returns: The flush's error.
    private func closeIfUnused(_ provider: Provider) -> AccessError? {
        guard let last = entries.firstIndex(where: { $0.provider === provider && $0.users == 0 }),
            !changing.contains(provider.identity)
        else { return nil }
        let failure = changingUnlocked(provider.identity) { end(provider) }
        if provider.ledger.dirtyLeaves == 0 {
            entries.remove(at: entries.firstIndex { $0.provider === provider } ?? last)
            pages.queue.retire(image: provider.image)
            numbersInUse.remove(provider.image)
        }
        return failure
    }

    /// Brings out what is dirty of an image that has no users any more, and drops its pages if all of it is out.
    /// - Returns: The flush's error.
    private func end(_ provider: Provider) -> AccessError? {
        var failure: AccessError?
        pages.prefetches.forget(provider)
        do throws(AccessError) {
            if provider.accessor.isWritable { try provider.flush() }
        } catch {
            failure = error
        }
        if provider.ledger.dirtyLeaves == 0 { provider.mapper.dropAll() }
        return failure
    }

    /// Runs `body` without the lock, while the image is marked as being opened or closed.
    private func changingUnlocked<Result, Failure>(
        _ identity: ImageIdentity, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        changing.insert(identity)
        monitor.unlock()
        defer {
            monitor.lock()
            changing.remove(identity)
            monitor.wakeAll()
        }
        return try body()
    }

    /// Calls `body`, without the lock, with each image in turn that is neither being opened nor closed. An image stays
    /// open while it is visited. One thread at a time.
    func visitEach(_ body: (Provider) -> Void) {
        var index = 0
        while let provider = visit(index) {
            if let provider = provider { body(provider) }
            endVisit()
            index += 1
        }
    }

    /// The image with this index: nil past the last one, and a value that contains nil if the image cannot be visited.
    private func visit(_ index: Int) -> Provider?? {
        monitor.withLock {
            assert(visited == nil, "one thread at a time visits")
            guard index < entries.count else { return nil }
            let provider = entries[index].provider
            visited = changing.contains(provider.identity) ? nil : provider
            return .some(visited)
        }
    }

    private func endVisit() {
        monitor.withLock {
            visited = nil
            monitor.wakeAll()
        }
    }
}
