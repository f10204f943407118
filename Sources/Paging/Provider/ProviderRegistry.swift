import Glibc

/// The open images, found by identity, so that clients of one image share one Provider and see each other's writes.
///
/// An image whose last user has left can rest: its Provider and its pages stay, until their turn in the PageQueue, and
/// its Accessor releases descriptors and locks. A client that comes back finds the pages, if the image has certainly
/// not changed meanwhile.
///
///                 open                        close, by the last user
///     (no entry) ──────▶ in use (users > 0) ──────────────────────────▶ left ◀───┐ closeIfLeft, something is
///         ▲                 ▲  ▲                                         │ │ └───┘ not on the image yet
///         │                 │  └────────── open ─────────────────────────┘ │
///         │                 └──── open, wake: not changed ──── resting ◀───┘ close, closeIfLeft: all is on the image
///         └─── open, wake: changed; or another image needs the number ────┘
///
/// Thread rules: any thread. Its lock is not held during I/O: an image that is being opened or closed is noted, and a
/// thread that wants the image meanwhile waits. It is not on the data path.
public final class ProviderRegistry: @unchecked Sendable {
    let pages: Pages
    /// Whether images rest when their last user has left. If not, they are forgotten.
    private let keepsUnused: Bool
    let monitor = Monitor(.registry)
    private(set) var entries: [Entry] = []
    /// Images being opened or closed.
    private var changing: Set<ImageIdentity> = []
    private var numbersInUse: Set<UInt16> = []
    /// How many times an image has gone to rest so far.
    private var rests: UInt64 = 0
    /// The image that `visitEach` is visiting.
    private var visited: Provider?

    struct Entry {
        let provider: Provider
        var users: Int
        /// Its last close has failed. The Writeback goes on with it.
        var isLeft = false
        /// Which rest it is, counted from 1; 0 if the image does not rest.
        var rest: UInt64 = 0
        /// Another server has left it: a client must hear of what a failed sync has lost.
        var isInherited = false
    }

    /// - Parameter keepingUnused: Whether the pages of an image stay when its last user has left.
    public init(pages: Pages, keepingUnused: Bool = false) {
        self.pages = pages
        keepsUnused = keepingUnused
    }

    deinit { monitor.destroy() }

    /// The Provider of the image, for one more user. The first user opens it with `accessor`, and so does the first one
    /// after a rest. The Provider's Accessor is an earlier one if the image is in use, or has certainly not changed.
    /// - Throws: What `accessor` throws; ENFILE if as many images are in use as the Memory has Ledgers for; EFBIG for
    ///   an image of more than 2⁶⁰ bytes.
    public func open(
        _ identity: ImageIdentity, accessor: () throws(AccessError) -> any Accessor
    ) throws(AccessError) -> Provider {
        monitor.lock()
        defer { monitor.unlock() }
        while changing.contains(identity) { monitor.wait() }
        if let provider = useIfInUse(identity) { return provider }
        beginChange(of: identity)
        defer { endChange(of: identity) }
        let accessor = try unlocked(accessor)
        guard accessor.size <= PageKey.maxImageSize else { throw AccessError(EFBIG) }
        var unheardLoss: AccessError?
        // It rests: no other image takes its number while it is being changed.
        if let index = index(of: identity) {
            let provider = entries[index].provider
            let isUnchanged = unlocked { provider.accessor.wake(with: accessor) }
            guard let index = self.index(of: identity) else { preconditionFailure("an image being woken stays") }
            if isUnchanged { return use(at: index) }
            unheardLoss = entries[index].provider.unheardLoss
            forget(at: index)
        }
        let number = try freeNumber()
        numbersInUse.insert(number)
        pages.table.kept?.image(Int(number)).begin(accessor)
        let provider = Provider(identity: identity, image: number, pages: pages, accessor: accessor)
        if let unheardLoss { provider.durability.risk.noteLoss(unheardLoss) }
        entries.append(Entry(provider: provider, users: 1, isInherited: unheardLoss != nil))
        pages.setActive(true, image: number)
        return provider
    }

    /// The Provider of the image for one more user, if the image is in use already. Calls no Accessor. Nil if the image
    /// has to be opened.
    public func openIfInUse(_ identity: ImageIdentity) -> Provider? {
        monitor.lock()
        defer { monitor.unlock() }
        while changing.contains(identity) { monitor.wait() }
        return useIfInUse(identity)
    }

    /// The Provider of an image that does not rest, for one more user.
    private func useIfInUse(_ identity: ImageIdentity) -> Provider? {
        guard let index = index(of: identity), entries[index].rest == 0 else { return nil }
        entries[index].users += 1
        entries[index].isLeft = false
        pages.setActive(true, image: entries[index].provider.image)
        return entries[index].provider
    }

    private func index(of identity: ImageIdentity) -> Int? {
        entries.firstIndex { $0.provider.identity == identity }
    }

    /// The Provider of an image that has been woken, for its first user.
    private func use(at index: Int) -> Provider {
        assert(entries[index].users == 0 && entries[index].rest > 0, "an image that is woken rests")
        let provider = entries[index].provider
        pages.will.enlist(provider)
        entries[index].users = 1
        entries[index].rest = 0
        pages.setActive(true, image: provider.image)
        return provider
    }

    /// A number for a new image. If there is none, the image that has rested for the longest time gives up its own. One
    /// that waits for a client to hear of a loss comes last.
    private func freeNumber() throws(AccessError) -> UInt16 {
        let numbers = 0..<UInt16(pages.memory.metadata.images)
        while numbersInUse.count == numbers.count {
            let resting = entries.indices.filter {
                entries[$0].rest > 0 && !changing.contains(entries[$0].provider.identity)
            }
            guard let oldest = resting.min(by: { order(ofResting: $0) < order(ofResting: $1) }) else {
                throw AccessError(ENFILE)
            }
            let identity = entries[oldest].provider.identity
            beginChange(of: identity)
            forget(at: oldest)
            endChange(of: identity)
        }
        guard let number = numbers.first(where: { !numbersInUse.contains($0) }) else { throw AccessError(ENFILE) }
        return number
    }

    private func order(ofResting index: Int) -> (Int, UInt64) {
        (entries[index].provider.lost == nil ? 0 : 1, entries[index].rest)
    }

    /// One user less. When the last user leaves, the image is flushed. Then it rests, or its flexpages are dropped and
    /// the Provider is forgotten. No request of the image may be under way then.
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
        while changing.contains(provider.identity) || visited === provider { monitor.wait() }
        let failure = closeIfUnusedLocked(provider)
        if let index = entries.firstIndex(where: { $0.provider === provider && $0.users == 0 && $0.rest == 0 }) {
            entries[index].isLeft = true
        }
        if let failure { throw failure }
    }

    /// Closes an image whose last close has failed, because its data could not be brought out. If that still cannot be
    /// done, it stays open. An image whose last close is only beginning is left to that: its caller wants the error.
    func closeIfLeft(_ provider: Provider) {
        monitor.withLock {
            guard entries.contains(where: { $0.provider === provider && $0.isLeft }), visited !== provider else {
                return
            }
            _ = closeIfUnusedLocked(provider)
        }
    }

    /// Forgets the images that rest, and their pages, unless a client has yet to hear that data is lost.
    public func forgetResting() {
        monitor.lock()
        defer { monitor.unlock() }
        while let index = entries.firstIndex(where: {
            $0.rest > 0 && $0.provider.lost == nil && !changing.contains($0.provider.identity)
        }) {
            let identity = entries[index].provider.identity
            beginChange(of: identity)
            forget(at: index)
            endChange(of: identity)
        }
    }

    /// Flushes the image, and lets it rest or forgets it, unless a user has opened it meanwhile, or data stays.
    /// - Returns: The flush's error.
    private func closeIfUnusedLocked(_ provider: Provider) -> AccessError? {
        let identity = provider.identity
        guard !changing.contains(identity),
            entries.contains(where: { $0.provider === provider && $0.users == 0 && $0.rest == 0 })
        else { return nil }
        beginChange(of: identity)
        defer { endChange(of: identity) }
        let failure = unlocked { flush(provider) }
        guard provider.ledger.dirtyLeaves == 0, !provider.durability.hasLeftFlushes,
            let index = index(of: identity)
        else { return failure }
        // What has been lost of an image that another server has left is kept until a client has heard of it.
        let isWell = failure == nil && provider.lost == nil
        guard keepsUnused, isWell || provider.unheardLoss != nil && entries[index].isInherited else {
            forget(at: index)
            return failure
        }
        pages.will.withdraw(provider)
        unlocked { provider.accessor.rest() }
        rests += 1
        if let index = self.index(of: identity) { entries[index].rest = rests }
        return failure
    }

    /// Brings out what is dirty of an image that has no users any more.
    private func flush(_ provider: Provider) -> AccessError? {
        pages.prefetches.forget(provider)
        pages.writebackQueue.withdraw(provider)
        defer { provider.durability.flushThread.end() }
        do throws(AccessError) {
            if provider.accessor.isWritable { try provider.flush() }
            return nil
        } catch {
            return error
        }
    }

    /// Forgets an image that is being changed and has no users, with its pages. Nothing of it is dirty.
    private func forget(at index: Int) {
        let provider = entries[index].provider
        assert(entries[index].users == 0 && provider.ledger.dirtyLeaves == 0, "what is forgotten is on the image")
        assert(changing.contains(provider.identity), "no thread opens what is being forgotten")
        entries.remove(at: index)
        unlocked { provider.mapper.dropAll() }
        // Not when the Provider ends: another image may have the number by then.
        provider.mapper.context.dirtyLimit.forget()
        pages.retire(image: provider.image)
        // No frame names the record any more.
        pages.table.kept?.image(Int(provider.image)).end()
        numbersInUse.remove(provider.image)
    }

    /// Enters an image that another server has left, for its first user, or to rest.
    func enter(_ accessor: any Accessor, _ number: UInt16, isResting: Bool) -> Provider {
        monitor.withLock {
            let record = pages.table.kept!.image(Int(number))
            let provider = Provider(
                identity: record.identity, image: number, pages: pages, accessor: accessor, isTakenOver: true)
            numbersInUse.insert(number)
            if isResting {
                rests += 1
                entries.append(Entry(provider: provider, users: 0, rest: rests, isInherited: true))
                pages.will.withdraw(provider)
            } else {
                entries.append(Entry(provider: provider, users: 1, isInherited: true))
                pages.setActive(true, image: number)
            }
            return provider
        }
    }

    // MARK: Changes

    // The monitor is locked here, and in all private functions above.

    /// The image is being opened or closed: threads that want it wait until `endChange`.
    private func beginChange(of identity: ImageIdentity) {
        let isNew = changing.insert(identity).inserted
        assert(isNew, "one thread at a time opens or closes an image")
    }

    private func endChange(of identity: ImageIdentity) {
        changing.remove(identity)
        monitor.wakeAll()
    }

    /// Runs `body` without the lock. Indices into `entries` mean nothing afterwards.
    private func unlocked<Result, Failure>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        monitor.unlock()
        defer { monitor.lock() }
        return try body()
    }

    /// Fills may hold more frames than before: wakes the requests that wait for that.
    func wakeFills() {
        monitor.withLock {
            for entry in entries { entry.provider.mapper.context.fillShare.wake() }
        }
    }

    /// Calls `body`, without the lock, with each image in turn that is neither being opened nor closed and does not
    /// rest, and whether its last close has failed. An image stays open while it is visited. One thread at a time.
    func visitEach(_ body: (_ provider: Provider, _ isLeft: Bool) -> Void) {
        var index = 0
        while let visit = visit(index) {
            if let (provider, isLeft) = visit { body(provider, isLeft) }
            endVisit()
            index += 1
        }
    }

    /// The image with this index: nil past the last one, and a value that contains nil if the image cannot be visited.
    private func visit(_ index: Int) -> (provider: Provider, isLeft: Bool)?? {
        monitor.withLock {
            assert(visited == nil, "one thread at a time visits")
            guard index < entries.count else { return nil }
            let entry = entries[index]
            guard entry.rest == 0, !changing.contains(entry.provider.identity) else { return .some(nil) }
            visited = entry.provider
            return (entry.provider, entry.isLeft)
        }
    }

    private func endVisit() {
        monitor.withLock {
            visited = nil
            monitor.wakeAll()
        }
    }
}
