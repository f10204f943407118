import Glibc
import Synchronization

/// How many base pages are dirty or being written out, over all images and of one of them, and the limits at which
/// writers wait.
///
/// A writer is admitted for base pages before it takes any loan, and gives back those that were dirty already. So dirty
/// pages never exceed the limit, and the rest of the Memory serves reads. A writer is admitted in parts: for as many
/// pages as there is room for, at least one. No writer passes those that wait, except for those that only their own
/// image's limit stops: see AdmissionQueue.
///
/// A DirtyLimit is seen from one image (`ofImage`), which has a limit of its own: what its disk can take (`allow`), and
/// if several images share the Memory no more than half. So an image whose disk hangs leaves the other half.
///
/// Thread rules: any thread; a writer that waits here holds nothing (invariant 9). While no writer waits, an admission
/// costs two atomic exchanges, and giving back costs two additions.
struct DirtyLimit: @unchecked Sendable {
    private let queue: AdmissionQueue
    private let state: UnsafeMutablePointer<State>
    private let images: UnsafeMutablePointer<Image>
    private let imageCount: Int
    /// The image that this is seen from; the process itself has one that is no image's.
    private let image: UnsafeMutablePointer<Image>
    /// Whether several images share the Memory.
    private let isShared: Bool

    /// What counts for one image, in atomic words. It lies in the Memory. All zero before `prepare`.
    struct Image: ~Copyable {
        /// Base pages that are dirty, going out, or admitted.
        fileprivate let pages = Atomic<Int>(0)
        /// The limit of `pages` at present, unless `maxOfImage` is less; 0 if the image is closed.
        fileprivate let allowed = Atomic<Int>(0)
        /// Base pages written out so far, and those of them that are not known to be durable.
        fileprivate let written = Atomic<Int>(0)
        fileprivate let unsynced = Atomic<Int>(0)
    }

    private struct State: ~Copyable {
        let pages = Atomic<Int>(0)
        let limit = Synchronization.Atomic<Int>(0)
        /// Leaves that are dirty, those of them whose write-out failed, and the error of the last of these.
        let dirtyLeaves = Atomic<Int>(0)
        let failedLeaves = Atomic<Int>(0)
        let error = Atomic<Int32>(0)
    }

    /// - Parameter limit: Base pages, at least one.
    /// - Parameter isShared: Whether several images share the Memory.
    init(limit: Int, isShared: Bool = false, _ metadata: borrowing Metadata) {
        let limit = max(1, limit)
        queue = AdmissionQueue(mutex: metadata.mutex(.admission))
        state = .allocate(capacity: 1)
        state.initialize(to: State())
        state.pointee.limit.store(limit, ordering: .relaxed)
        self.isShared = isShared
        images = metadata.dirtyImages
        imageCount = metadata.images
        image = metadata.dirtyImages + metadata.images
        prepare()
    }

    private init(_ other: DirtyLimit, image: UnsafeMutablePointer<Image>) {
        queue = other.queue
        state = other.state
        images = other.images
        imageCount = other.imageCount
        isShared = other.isShared
        self.image = image
    }

    /// The same, seen from image number `image`.
    @inline(__always)
    func ofImage(_ image: UInt16) -> DirtyLimit { DirtyLimit(self, image: images + Int(image)) }

    /// Begins to count for a new image.
    func prepare() {
        image.zeroWords()
        image.pointee.allowed.store(.max, ordering: .relaxed)
    }

    /// The image is closed: it counts no more.
    func forget() { image.pointee.allowed.store(0, ordering: .relaxed) }

    func destroy() {
        queue.destroy()
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// The number of dirty base pages at which writers wait, however fast the disks are.
    @inline(__always)
    var limit: Int { state.pointee.limit.load(ordering: .relaxed) }

    /// The maximum of one image.
    @inline(__always)
    var maxOfImage: Int { isShared ? max(1, limit / 2) : limit }

    /// Writers wait at `limit` dirty base pages from now on. Those that there is room for now are admitted. If more is
    /// dirty already, nobody is admitted until that has gone out.
    func setLimit(_ limit: Int) {
        // Before it is looked whether anybody waits: a writer that comes to wait looks at the limit afterwards.
        state.pointee.limit.store(max(1, limit), ordering: .sequentiallyConsistent)
        wakeWaiters()
    }

    /// Base pages that are dirty, going out, or admitted, of all images.
    var pages: Int { state.pointee.pages.load(ordering: .relaxed) }

    /// Those of them that are the image's.
    var pagesOfImage: Int { image.pointee.pages.load(ordering: .relaxed) }

    /// The number of dirty base pages at which the image's writers wait now: `maxOfImage`, or less if the disk is slow.
    /// See FlushBudget.
    @inline(__always)
    var allowed: Int { min(image.pointee.allowed.load(ordering: .relaxed), maxOfImage) }

    /// Whether writers of the image wait for pages of its own.
    var isImageFull: Bool { image.pointee.pages.load(ordering: .sequentiallyConsistent) >= allowed }

    /// The number of dirty base pages at which writers wait now, over all images that count. O(images).
    var allowedOfAll: Int {
        let (limit, maxOfImage) = (limit, maxOfImage)
        var sum = 0
        for image in 0..<imageCount { sum += min(images[image].allowed.load(ordering: .relaxed), maxOfImage) }
        return sum == 0 ? limit : min(sum, limit)
    }

    /// The number of the image's dirty base pages above which write-back begins by itself.
    @inline(__always)
    var backgroundTarget: Int { allowed / 2 }

    /// Whether write-back of the image should be under way: it has reached its target, or all images together come
    /// near the limit. (An image whose disk hangs may have half of it for long.)
    @inline(__always)
    var isAboveTarget: Bool { pagesOfImage > backgroundTarget || pages > limit - limit / 4 }

    /// How many times a writer has waited at the limit.
    var waits: UInt64 { queue.arrivals }

    // MARK: Admitting

    /// The turn of a write that begins now. Writers that came to wait before it are served before it.
    @inline(__always)
    var turn: UInt64 { queue.turn }

    /// Admits up to `count` base pages at once.
    /// - Returns: How many: 0 if there is no room, or another writer waits for it already.
    @inline(__always)
    func admit(_ count: Int) -> Int {
        guard queue.isEmpty else { return 0 }
        let admitted = max(0, take(count, for: image))
        // A writer of the image may have come to wait while this one had taken more than it has got.
        if admitted < count { wakeWaiters() }
        return admitted
    }

    /// Sleeps until some of `count` base pages are admitted.
    /// - Parameter turn: What `turn` was when the write began.
    /// - Parameter reasonToGiveUp: Why there is nothing to wait for, or nil. Called before each sleep, with no lock
    ///   held.
    /// - Returns: How many are admitted, at least one.
    func waitToAdmit(_ count: Int, turn: UInt64, reasonToGiveUp: () -> AccessError?) throws(AccessError) -> Int {
        try queue.waitForTurn(
            turn, wanting: count, of: image, serve: { queue.serve(take) }, reasonToGiveUp: reasonToGiveUp)
    }

    /// Takes up to `count` base pages for an image, as far as there is room.
    /// - Returns: How many: 0 if there is no room for any image, `AdmissionQueue.notForThis` if there is none for this
    ///   one.
    @inline(__always)
    private func take(_ count: Int, for image: UnsafeMutableRawPointer) -> Int {
        let image = image.assumingMemoryBound(to: Image.self)
        let ofImage = DirtyLimit.take(
            count, from: image.pointee.pages, upTo: min(image.pointee.allowed.load(ordering: .relaxed), maxOfImage))
        guard ofImage > 0 else { return AdmissionQueue.notForThis }
        let ofAll = DirtyLimit.take(ofImage, from: state.pointee.pages, upTo: limit)
        if ofAll < ofImage { image.pointee.pages.wrappingSubtract(ofImage - ofAll, ordering: .sequentiallyConsistent) }
        return ofAll
    }

    @inline(__always)
    private static func take(_ count: Int, from pages: borrowing Atomic<Int>, upTo limit: Int) -> Int {
        var before = pages.load(ordering: .sequentiallyConsistent)
        while true {
            let part = min(count, limit - before)
            guard part > 0 else { return 0 }
            let (exchanged, original) = pages.weakCompareExchange(
                expected: before, desired: before + part, ordering: .sequentiallyConsistent)
            if exchanged { return part }
            before = original
        }
    }

    // MARK: Making room

    /// `count` base pages are not dirty any more, or were admitted and not dirtied.
    @inline(__always)
    func release(_ count: Int) {
        assert(count >= 0, "no number of pages is negative")
        guard count > 0 else { return }
        subtract(count)
        wakeWaiters()
    }

    /// `count` base pages have been written out. The caller calls `wakeWaiters` when the whole batch has ended, so that
    /// waiting writers are admitted for all its room at once.
    func wroteOut(_ count: Int) {
        image.pointee.written.wrappingAdd(count, ordering: .relaxed)
        subtract(count)
    }

    @inline(__always)
    private func subtract(_ count: Int) {
        // All images' last: a writer that sees room there finds room for the image too.
        let before = image.pointee.pages.wrappingSubtract(count, ordering: .sequentiallyConsistent).oldValue
        assert(before >= count, "no more is released than was admitted")
        state.pointee.pages.wrappingSubtract(count, ordering: .sequentiallyConsistent)
    }

    /// From now on `pages` of the image may be dirty, or `maxOfImage` if that is less.
    /// - Returns: Whether that is more than before. Then the caller calls `wakeWaiters`.
    func allow(_ pages: Int) -> Bool {
        let before = image.pointee.allowed.exchange(pages, ordering: .sequentiallyConsistent)
        return min(before, maxOfImage) < min(pages, maxOfImage)
    }

    /// Admits waiting writers, if there are any, as far as there is room. If something cannot be written out, lets the
    /// others check whether anything still can.
    @inline(__always)
    func wakeWaiters() {
        if !queue.isEmpty { serveWaiters() }
    }

    @inline(never)
    private func serveWaiters() {
        queue.serve(take)
        if state.pointee.failedLeaves.load(ordering: .acquiring) > 0 { queue.wakeAll() }
    }

    /// `count` base pages are dirty again, whatever the limit.
    func add(_ count: Int) {
        image.pointee.pages.wrappingAdd(count, ordering: .sequentiallyConsistent)
        state.pointee.pages.wrappingAdd(count, ordering: .sequentiallyConsistent)
    }

    // MARK: What has been written out, and what cannot be

    /// Base pages of the image written out so far.
    var written: Int { image.pointee.written.load(ordering: .relaxed) }

    /// Base pages of the image that are written out and not known to be durable.
    var unsynced: Int { max(0, image.pointee.unsynced.load(ordering: .relaxed)) }

    /// `pages` more (or fewer) base pages of the image are written out and not durable.
    func countUnsynced(_ pages: Int) { image.pointee.unsynced.wrappingAdd(pages, ordering: .relaxed) }

    /// `count` more (or fewer) leaves are dirty.
    func countDirtyLeaves(_ count: Int) { state.pointee.dirtyLeaves.wrappingAdd(count, ordering: .relaxed) }

    /// `count` more (or fewer) dirty leaves have failed to be written out.
    /// - Parameter error: The error, if there are more.
    func countFailedLeaves(_ count: Int, _ error: AccessError?) {
        if let error { state.pointee.error.store(error.code, ordering: .relaxed) }
        state.pointee.failedLeaves.wrappingAdd(count, ordering: .sequentiallyConsistent)
    }

    /// Leaves that are dirty, and those of them whose write-out failed: for checks.
    var leaves: (dirty: Int, failed: Int) {
        (state.pointee.dirtyLeaves.load(ordering: .relaxed), state.pointee.failedLeaves.load(ordering: .relaxed))
    }

    /// The error that prevents every dirty leaf of every image from being written out, or nil if at least one has not
    /// failed.
    var stuck: AccessError? {
        let failed = state.pointee.failedLeaves.load(ordering: .sequentiallyConsistent)
        guard failed > 0, failed >= state.pointee.dirtyLeaves.load(ordering: .relaxed) else { return nil }
        return AccessError(state.pointee.error.load(ordering: .relaxed))
    }

    /// The error for which there is no room and will be none: what is dirty cannot be written out, and may be as much
    /// as the limit. Nil if there is hope: if it is less, writers hold the rest that have been admitted and have
    /// dirtied nothing yet. Either they give it back, or what they dirty goes out. Both wake those that wait. (How many
    /// pages of a leaf have failed is not known, so all of them count.)
    var noRoomBecause: AccessError? {
        let failed = state.pointee.failedLeaves.load(ordering: .sequentiallyConsistent)
        return failed * Leaf.pages >= limit ? stuck : nil
    }
}
