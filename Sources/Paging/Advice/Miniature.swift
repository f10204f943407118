/// A simulation of our own PageQueue with another amount of memory, in miniature: its frames are as many fewer as there
/// are fewer sampled pages than pages (Waldspurger et al., "Cache Modeling and Optimization using Miniature
/// Simulations", ATC '17). It has the queue and its records, and neither pages nor I/O.
///
/// Whatever PageQueue measures in frames, it measures in frames of its own, each of which stands for
/// one of each group of pages.
/// All pages are base pages: with flexpages of other sizes, the miss ratios of the traces differ by at most 0.004.
/// What is read ahead enters when it was in fact read ahead.
///
/// Thread rules: under the Advisor's lock. O(1) a sample. It allocates nothing once it is made.
final class Miniature {
    let size: MiniatureSize
    let frames: Int
    /// What each image has found, by its number.
    let counts: UnsafeMutablePointer<MiniatureCounts>
    private let table: FlexpageTable
    private let queue: PageQueue
    /// A hash table of what is resident: the first of each bucket, and the next of each in its bucket.
    private let buckets: UnsafeMutablePointer<FlexpageID>
    private let followers: UnsafeMutablePointer<FlexpageID>
    /// Frames from here on have never been used.
    private var unused: FlexpageID = 0
    /// A list of frames that have been given back, linked like buckets.
    private var free = FlexpageID.none
    private var hits: UInt64 = 0

    /// - Parameter frames: Of the memory that is simulated.
    /// - Parameter groupShift: The binary logarithm of the pages of which one is sampled.
    init(_ size: MiniatureSize, frames: Int, groupShift: UInt64, images: Int, _ carver: inout Carver) {
        self.size = size
        self.frames = max(Miniature.minFrames, frames >> groupShift)
        table = FlexpageTable(
            carver.carve(Flexpage.self, self.frames), carver.carve(FlexpageWord.self, self.frames))
        buckets = carver.carve(FlexpageID.self, self.frames)
        followers = carver.carve(FlexpageID.self, self.frames)
        counts = carver.carve(MiniatureCounts.self, images)
        let tables = QueueTables(frames: self.frames, images: images, weight: 1 << groupShift, &carver)
        buckets.initialize(repeating: .none, count: self.frames)
        counts.initialize(repeating: MiniatureCounts(), count: images)
        queue = PageQueue(table: table, tables)
    }

    deinit { queue.destroy() }

    static let minFrames = 8

    /// Bytes that the tables of a miniature with `frames` frames take, at most.
    static func bytes(frames: Int, images: Int) -> Int {
        let entry =
            MemoryLayout<Flexpage>.stride + MemoryLayout<FlexpageWord>.stride + 2 * MemoryLayout<FlexpageID>.stride
        let image =
            MemoryLayout<ImageQueues>.stride + MemoryLayout<Holding>.stride + MemoryLayout<UInt64>.stride
            + MemoryLayout<MiniatureCounts>.stride
        let ghosts = Ghosts.buckets(frames: frames) * Ghosts.entriesPerBucket * MemoryLayout<GhostEntry>.stride
        return frames * entry + images * image + ghosts + 1024
    }

    // MARK: Images

    /// Follows what has changed of an image's share.
    /// - Parameter framesInAll: Those of the memory that there is.
    func follow(_ wish: PageQueue.Wish, ofImage image: UInt16, framesInAll: Int) {
        if wish.isNewImage {
            forget(image)
            queue.begin(image: image)
            counts[Int(image)] = MiniatureCounts()
        }
        let wanted = wish.wanted == Holding.byDefault ? nil : Int(wish.wanted) * frames / framesInAll
        queue.setReserve(wanted, ofImage: image)
        queue.setActive(wish.isActive, image: image)
    }

    /// Drops all pages of the image. O(frames).
    private func forget(_ image: UInt16) {
        for id in 0..<unused where table[id].pointee.queue != .none && table[id].pointee.key.image == image {
            drop(table[id].pointee.key)
        }
    }

    // MARK: Samples

    /// What a use of a page has found.
    enum Finding {
        case resident
        /// Resident, because it had been read ahead, and not used since.
        case firstUseAhead
        case missing
    }

    /// Simulates what has happened to a page.
    /// - Parameter present: What the miniature of the present memory has found; nil if this is the one.
    /// - Returns: What a read or a write has found.
    func simulate(_ kind: Sample.Kind, _ key: PageKey, present: Finding?) -> Finding {
        switch kind {
        case .ahead:
            if find(key) == nil { insert(key, PageState.populated | PageState.prefetched) }
        case .drop: drop(key)
        case .zeroes: counts[Int(key.image)].missed += 1
        case .write: return use(key)
        case .hit, .miss:
            let finding = use(key)
            count(kind, finding, present ?? finding, &counts[Int(key.image)])
            if finding != .missing { countTime(ofImage: key.image) }
            return finding
        }
        return .missing
    }

    private func count(_ kind: Sample.Kind, _ finding: Finding, _ present: Finding, _ counts: inout MiniatureCounts) {
        switch (finding, kind) {
        case (.missing, .miss): counts.missed += 1
        case (.missing, _) where present == .firstUseAhead: counts.lostAhead += 1
        case (.missing, _): counts.lost += 1
        case (.firstUseAhead, _): counts.foundAhead += 1
        case (.resident, _): break
        }
    }

    private func countTime(ofImage image: UInt16) {
        queue.clock(ofImage: image).countTime(ofHits: hits, hits &+ 1)
        hits &+= 1
    }

    /// Uses the page, which is resident afterwards.
    private func use(_ key: PageKey) -> Finding {
        guard let id = find(key) else {
            insert(key, PageState.populated)
            return .missing
        }
        let clock = queue.clock(ofImage: key.image)
        let word = table.word(id)
        let position = QueuePosition(word.pointee.position.load(ordering: .relaxed))
        let before = word.pointee.state.load(ordering: .relaxed)
        word.pointee.state.store(clock.countingUse(before, position), ordering: .relaxed)
        guard PageState(before).has(PageState.prefetched) else { return .resident }
        clock.startTime(of: word, position)
        return .firstUseAhead
    }

    private func insert(_ key: PageKey, _ state: UInt32) {
        let id = table.make(Region(first: takeFrame(), order: 0), key: key, state: state)
        let bucket = bucket(of: key)
        followers[Int(id)] = bucket.pointee
        bucket.pointee = id
        queue.append(count: 1) { _ in id }
    }

    private func drop(_ key: PageKey) {
        guard let id = find(key), queue.remove(id) else { return }
        unlink(id, key)
        followers[Int(id)] = free
        free = id
    }

    private func takeFrame() -> FlexpageID {
        if free != .none {
            defer { free = followers[Int(free)] }
            return free
        }
        if unused < FlexpageID(frames) {
            unused += 1
            return unused - 1
        }
        guard let candidate = queue.nextCandidate() else { preconditionFailure("nothing here is ever in use") }
        unlink(candidate.id, candidate.key)
        return candidate.id
    }

    // MARK: What is resident

    private func bucket(of key: PageKey) -> UnsafeMutablePointer<FlexpageID> {
        let mixed = Miniature.hash(key) >> 32
        return buckets + Int(truncatingIfNeeded: (mixed &* UInt64(frames)) &>> 32)
    }

    /// A well-mixed number (the finalizer of splitmix64, by Vigna).
    private static func hash(_ key: PageKey) -> UInt64 {
        var x = key.raw &+ 0x9E37_79B9_7F4A_7C15
        x = (x ^ x &>> 30) &* 0xBF58_476D_1CE4_E5B9
        x = (x ^ x &>> 27) &* 0x94D0_49BB_1331_11EB
        return x ^ x &>> 31
    }

    private func find(_ key: PageKey) -> FlexpageID? {
        var id = bucket(of: key).pointee
        while id != .none {
            if table[id].pointee.key == key { return id }
            id = followers[Int(id)]
        }
        return nil
    }

    private func unlink(_ id: FlexpageID, _ key: PageKey) {
        var link = bucket(of: key)
        while link.pointee != id {
            precondition(link.pointee != .none, "what is resident is in its bucket")
            link = followers + Int(link.pointee)
        }
        link.pointee = followers[Int(id)]
    }

    /// Checks that the queue, the buckets and the frames agree. O(frames).
    func checkInvariants() {
        let queued = queue.checkInvariants()
        var linked = 0
        for bucket in 0..<frames {
            var id = buckets[bucket]
            while id != .none {
                linked += 1
                id = followers[Int(id)]
            }
        }
        precondition(queued == linked && queued <= frames, "what is queued is in a bucket")
    }
}
