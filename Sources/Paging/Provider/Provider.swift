import Synchronization

/// An open image: its Accessor, PageMapper and Durability. There is one per image, however many clients have it open.
///
/// Made and ended by the ProviderRegistry. Thread rules: any thread, any time.
public final class Provider: @unchecked Sendable {
    /// What reaches the image.
    public let accessor: any Accessor
    public let identity: ImageIdentity
    /// Bytes in the image.
    public let size: Int64
    let mapper: PageMapper
    /// Whether what has been written is durable.
    let durability: Durability
    /// The number of the image among the open ones. When the image is closed, another one may get the number.
    public let image: UInt16
    /// The number of this opening: no two Providers have the same. At least 1.
    public let opening = Provider.openings.wrappingAdd(1, ordering: .relaxed).newValue
    let pages: Pages

    /// Whether a list of what is to be warmed has been read.
    let warmed = Synchronization.Atomic<Bool>(false)

    private let isLossHeard = Synchronization.Atomic<Bool>(false)

    private static let openings = Atomic<UInt64>(0)

    /// - Parameter isTakenOver: Another server has left data of the image, and what is known of it.
    init(identity: ImageIdentity, image: UInt16, pages: Pages, accessor: any Accessor, isTakenOver: Bool = false) {
        self.identity = identity
        self.image = image
        self.accessor = accessor
        self.pages = pages
        size = accessor.size
        mapper = PageMapper(image: image, pages: pages, accessor: accessor)
        durability = Durability(mapper.context, pages: pages, accessor: accessor, isTakenOver: isTakenOver)
        pages.readaheadWaste.prepare(image: image)
        pages.queue.begin(image: image)
        mapper.attach(to: self)
        pages.will.enlist(self)
    }

    deinit { pages.will.withdraw(self) }

    /// What reads ahead for the image, and warms it.
    var prefetches: PrefetchQueue { pages.prefetches }

    /// Which leaves of the image are dirty or not yet durable.
    var ledger: Ledger { mapper.context.map.ledger }

    /// A snapshot of what has been counted for this image since it was opened. What counts only for the memory as a
    /// whole is 0 in it. O(shards).
    public var counters: Counters {
        var counters = mapper.context.map.counters.snapshot
        counters.dirtyPages = UInt64(max(0, mapper.context.dirtyLimit.pagesOfImage))
        counters.allowedDirtyPages = UInt64(mapper.context.dirtyLimit.allowed)
        return counters
    }

    /// How long something of the image has been dirty, milliseconds, as the Writeback last saw it; 0 if nothing is.
    /// O(1).
    public var dirtyAge: Int {
        guard dirtyPages > 0, let since = mapper.context.map.counters.dirtySince else { return 0 }
        return max(0, MonotonicClock.milliseconds - since)
    }

    /// Calls of the Accessor, other than write-outs and syncs. O(1).
    public var calls: ImageCalls { mapper.context.map.counters.calls }

    /// Runs a call of the Accessor that `calls` counts.
    @inline(__always)
    func countingCall<Result>(_ call: () throws(AccessError) -> Result) throws(AccessError) -> Result {
        try mapper.context.map.counters.countingCall(call)
    }

    /// Makes durable every write, zero and trim that was answered before the call. See `Durability.flush`.
    /// - Throws: The first error of the write-outs; the error that keeps older data from going out; the sync's error,
    ///   for good if it lost data that is not in memory any more.
    public func flush() throws(AccessError) {
        try mapper.context.latencies.flushes.measure { () throws(AccessError) in try durability.flush() }
    }

    /// How long reads of the image took. O(1).
    public var fillLatencies: Latencies { mapper.context.latencies.fills.snapshot }
    /// How long write-outs took, each of one or more runs of pages. O(1).
    public var writeOutLatencies: Latencies { mapper.context.latencies.writeOuts.snapshot }
    /// How long syncs took. O(1).
    public var syncLatencies: Latencies { mapper.context.latencies.syncs.snapshot }
    /// How long flushes took, with all that they wait for. O(1).
    public var flushLatencies: Latencies { mapper.context.latencies.flushes.snapshot }

    /// The flush at the end, when what is not out is lost: it tries everything, each page alone if it must be.
    /// - Throws: As `flush`.
    public func flushAtLast() throws(AccessError) { try durability.flushAtLast() }

    /// Flushes, unless nothing has happened to the image since the last call that succeeded. One thread at a time.
    /// - Throws: As `flush`.
    public func flushIfChanged() throws(AccessError) { try durability.flushIfChanged() }

    /// Leaves a flush that has failed to the Writeback. The Writeback flushes once a second until that has done what
    /// this flush was to do, and then reports it.
    public func leaveFlush() { durability.leaveFlush() }

    /// Why nothing written to this image can be called durable until it is opened anew, or nil.
    public var lost: AccessError? { durability.lost }

    /// The same, until a client has heard of it.
    var unheardLoss: AccessError? { isLossHeard.load(ordering: .relaxed) ? nil : lost }

    /// A client's flush has failed with the error of what is lost.
    public func noteLossHeard() { isLossHeard.store(true, ordering: .relaxed) }

    /// What keeps data from becoming durable at present, or nil. `Notice`s tell of its beginning and its end.
    public var trouble: AccessError? { durability.trouble }

    /// Base pages that are newer than the image, at present, and those that writers under way may make so. O(1).
    public var dirtyPages: Int { mapper.context.dirtyLimit.pagesOfImage }

    /// Reserves memory for the image while it has users. Nil for the default: images with users share equally what of
    /// half the memory is not reserved otherwise. See `Pages.excess(of:memory:)` for reserves that are too large.
    public func setReserve(_ reserve: Reserve?) { pages.setReserve(reserve, ofImage: image) }

    /// The number of base pages that are reserved for the image at present.
    public var reservedPages: Int { pages.queue.share(ofImage: image).reserved }

    /// The number of base pages that the image has in memory and that are queued. A snapshot.
    public var heldPages: Int { pages.queue.share(ofImage: image).held }

    /// The maximum window that is read ahead of a stream of this image, bytes; 0 for none. At first it is that of the
    /// Pages, which is also the upper limit. If the memory is limited to less at present, it can be smaller than what
    /// was set. Any thread, any time.
    public var readahead: Int {
        get { mapper.context.readahead.maxWindow * BasePage.size }
        set { mapper.context.readahead.maxWindow = min(newValue / BasePage.size, pages.sizes.wantedReadahead) }
    }

    /// Drops the clean pages of the image that no request uses at the moment. Requests may be under way. O(all
    /// flexpages and buckets).
    /// - Returns: How many base pages were dropped.
    public func dropClean() -> Int { mapper.dropClean() }

    /// Forgets all that was read of the image, because another program may have changed it. What is read from now on is
    /// what the image holds now. Reads may be under way, and are waited for; nobody may be writing, and nothing may be
    /// dirty. O(all flexpages and buckets).
    /// - Returns: How many base pages were in memory.
    public func forgetImage() -> Int {
        // Before anything goes: what is left must not be taken for what was warm.
        warmed.store(false, ordering: .releasing)
        return mapper.forgetImage()
    }
}
