import Synchronization

/// An open image: its Accessor, AccessMap and PageMapper. One per image however many clients have it open.
///
/// Made and ended by the ProviderRegistry. Thread rules: any thread, any time. How what is written becomes durable is
/// in Provider+Durability.
public final class Provider: @unchecked Sendable {
    /// What reaches the image.
    public let accessor: any Accessor
    public let identity: ImageIdentity
    /// Bytes in the image.
    public let size: Int64
    let mapper: PageMapper
    let image: UInt16
    let pages: Pages

    // What follows is Durability's, Writeback's and the PrefetchQueue's.

    let syncs = SharedSync()
    /// Flushes that wait together are one: a write-out of what is dirty, and a sync. Who wants just a sync, because it
    /// has written out what it wants durable, shares that of a flush or another's.
    let flushes = SharedSync()
    /// The watch's own: when epochs ended, and when what failed, writing out or syncing, is to be tried again
    /// (milliseconds).
    var epochs = EpochHistory()
    var nextRetry = 0
    var nextSync = 0
    /// What the Ledger had counted as at risk when the last `flushIfChanged` that did not fail began.
    var atRiskWhenLastFlushed: UInt64?
    /// Flushes that have failed and whose clients have left; the Writeback goes on with them.
    let leftFlushes = Atomic<Int>(0)
    /// Jobs of reading ahead that are being done; the PrefetchQueue's own, under its lock.
    var prefetchesUnderWay = 0
    /// What the Ledger had counted as at risk when the last good sync began; only who leads a sync touches it.
    var atRiskWhenLastSynced: UInt64 = 0
    /// The error of a failed sync that lost what is not in memory any more; 0 while there was none (invariant 6).
    let loss = Atomic<Int32>(0)
    /// The error of the last sync; 0 if it was a good one.
    let syncError = Atomic<Int32>(0)
    /// Syncs that failed since the last good one, and whether the loss has been told; as `atRiskWhenLastSynced`.
    var failuresSinceGoodSync: UInt64 = 0
    var isLossTold = false

    init(identity: ImageIdentity, image: UInt16, pages: Pages, accessor: any Accessor) {
        self.identity = identity
        self.image = image
        self.accessor = accessor
        self.pages = pages
        size = accessor.size
        mapper = PageMapper(image: image, pages: pages, accessor: accessor)
        mapper.context.map.ledger.prepare()
        mapper.attach(to: self)
        pages.will.enlist(self)
    }

    deinit {
        pages.will.withdraw(self)
        flushes.destroy()
        syncs.destroy()
    }

    /// What of the image is dirty or not yet durable.
    var ledger: Ledger { mapper.context.map.ledger }

    /// Forgets all that was read of the image, because somebody else may have changed it: what is read from now on is
    /// what the image holds now. Reads may be under way, and are waited for; nobody may be writing, and nothing be
    /// dirty. O(all flexpages and buckets).
    /// - Returns: How many base pages were in memory.
    public func forgetImage() -> Int { mapper.forgetImage() }
}
