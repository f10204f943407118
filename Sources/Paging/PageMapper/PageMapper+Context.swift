extension PageMapper {
    /// What pinning, filling and writing out need of an image: a pointer to one record that has it all. It is cheap to
    /// copy, and there is nothing to retain. A copy is the same context. It outlives every loan of its image.
    struct Context: @unchecked Sendable {
        private let storage: UnsafeMutablePointer<Storage>

        private struct Storage: ~Copyable {
            let map: AccessMap
            let table: FlexpageTable
            let queue: PageQueue
            let clock: ImageClock
            let waiters: MemoryWaiters
            let dirtyLimit: DirtyLimit
            let pace: DiskPace
            let reservations: Reservations
            let readahead: Readahead
            let hole: HoleHint
            let fillShare: FillShare
            let latencies: ImageLatencies
            let sampler: Sampler
            var provider: Unmanaged<Provider>?
            let pages: Unmanaged<Pages>
        }

        init(image: UInt16, pages: Pages, imageSize: Int64) {
            let dirtyLimit = pages.dirtyLimit.ofImage(image)
            dirtyLimit.prepare()
            pages.accessMap(ofImage: image).counters.prepare()
            storage = .allocate(capacity: 1)
            storage.initialize(
                to: Storage(
                    map: pages.accessMap(ofImage: image), table: pages.table, queue: pages.queue,
                    clock: pages.queue.clock(ofImage: image), waiters: pages.waiters, dirtyLimit: dirtyLimit,
                    pace: DiskPace(dirtyLimit, flushTime: pages.flushTime), reservations: Reservations(),
                    readahead: Readahead(imageSize: imageSize, maxWindow: pages.sizes.wantedReadahead, pages.sizes),
                    hole: HoleHint(), fillShare: FillShare(pages.sizes, isShared: pages.isShared),
                    latencies: ImageLatencies(partOf: pages.latencies), sampler: pages.advisor?.sampler ?? .off,
                    provider: nil,
                    pages: Unmanaged.passUnretained(pages)))
        }

        /// Frees the record. Nobody uses it afterwards.
        func destroy() {
            storage.pointee.pace.destroy()
            storage.pointee.fillShare.destroy()
            storage.pointee.latencies.destroy()
            storage.pointee.reservations.destroy()
            storage.pointee.readahead.destroy()
            storage.deinitialize(count: 1)
            storage.deallocate()
        }

        /// Tells it which Provider it belongs to. Once, before the first request.
        func attach(to provider: Provider) {
            assert(storage.pointee.provider == nil, "an image has one Provider")
            storage.pointee.provider = Unmanaged.passUnretained(provider)
        }

        @inline(__always)
        var map: AccessMap { storage.pointee.map }
        @inline(__always)
        var table: FlexpageTable { storage.pointee.table }
        @inline(__always)
        var queue: PageQueue { storage.pointee.queue }
        @inline(__always)
        var clock: ImageClock { storage.pointee.clock }
        @inline(__always)
        var waiters: MemoryWaiters { storage.pointee.waiters }
        @inline(__always)
        var dirtyLimit: DirtyLimit { storage.pointee.dirtyLimit }
        var pace: DiskPace { storage.pointee.pace }
        var fillShare: FillShare { storage.pointee.fillShare }
        var latencies: ImageLatencies { storage.pointee.latencies }
        @inline(__always)
        var reservations: Reservations { storage.pointee.reservations }
        /// What reports sampled accesses.
        var sampler: Sampler { storage.pointee.sampler }
        /// Its mask. A hit loads nothing else of it.
        @inline(__always)
        var sampleMask: UInt64 { storage.pointee.sampler.mask }
        @inline(__always)
        var readahead: Readahead { storage.pointee.readahead }
        /// There is, or was, a hole at `range`; nowhere if that is empty. See HoleHint.
        func noteHole(_ range: Range<Int64>) { storage.pointee.hole.note(range) }
        /// Whether there was a hole at `offset` when the image was last asked.
        func hadHole(at offset: Int64) -> Bool { storage.pointee.hole.contains(offset) }
        /// The Provider of the image, which outlives every request.
        @inline(__always)
        var provider: Unmanaged<Provider>? { storage.pointee.provider }
        /// For code that no hit runs, because it is retained meanwhile. It outlives every loan.
        var pages: Pages { storage.pointee.pages.takeUnretainedValue() }
    }
}
