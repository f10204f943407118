/// How much of the memory each image has, and which image gives the next frame: the one furthest above its reserve.
///
/// A *reserve* is a number of frames that an image keeps whatever the others do, because others are further above
/// theirs. All reserves together are at most half of the frames. So while memory is full, some image is above its
/// reserve. What an image does not use of its reserve is lent to the others. A reserve is no wall: if no other image
/// has anything that can be recycled, it yields.
///
/// - An image whose owner wants a reserve has that one while it has users.
/// - The other images with users share equally what is left of the half. Images without users have no reserve. Their
///   pages stay in memory for as long as nobody wants the frames.
///
/// All images are looked at once for 16 frames given, not for each frame. So an image may give up to 16 frames although
/// another one is further above its reserve by then. It gives none of its reserve for that, unless a flexpage reaches
/// into it, because that is given whole.
///
/// Thread rules: under the PageQueue's lock. O(1), if nothing else is said.
struct Shares {
    private let holdings: UnsafeMutablePointer<Holding>
    /// Room for a list of images.
    private let givers: UnsafeMutablePointer<UInt64>
    /// How many images there can be.
    private let images: Int
    /// Frames that there are at present.
    private(set) var frames: Int
    /// Frames that there can be at most.
    private let maxFrames: Int
    /// Frames of all queued flexpages.
    private(set) var held = 0
    /// The number of images that hold any.
    private(set) var holders = 0
    /// Above the number of each image that holds any.
    private var end = 0
    /// The image that gives the next frames, and how many it gives before another one is chosen.
    private var chosen = 0
    private var credit = 0

    /// The maximum number of frames that an image gives before the images are looked at again. A look at 256 images
    /// takes 190 ns. With one for each 16 frames, a frame costs 12 ns here, and 3 ns if there is one image.
    private static let maxCredit = 16

    init(_ metadata: borrowing Metadata) { self.init(QueueTables(metadata)) }

    init(_ tables: QueueTables) {
        holdings = tables.holdings
        givers = tables.givers
        images = tables.images
        (frames, maxFrames) = (tables.frames, tables.frames)
        holdings.initialize(repeating: Holding(), count: images)
    }

    // MARK: What is held

    @inline(__always)
    mutating func count(_ frames: UInt64, of image: UInt16) {
        let before = holdings[Int(image)].held
        if before == 0 {
            holders &+= 1
            end = max(end, Int(image) + 1)
        }
        holdings[Int(image)].held = before &+ Int32(truncatingIfNeeded: frames)
        held &+= Int(truncatingIfNeeded: frames)
    }

    @inline(__always)
    mutating func uncount(_ frames: UInt64, of image: UInt16) {
        let after = holdings[Int(image)].held &- Int32(truncatingIfNeeded: frames)
        assert(after >= 0, "an image gives what it has")
        if after == 0 { holders &-= 1 }
        holdings[Int(image)].held = after
        held &-= Int(truncatingIfNeeded: frames)
    }

    /// Frames of the image's flexpages that are queued.
    @inline(__always)
    func held(by image: UInt16) -> Int { Int(holdings[Int(image)].held) }

    /// Frames that are reserved for the image at present.
    @inline(__always)
    func reserve(of image: UInt16) -> Int { Int(holdings[Int(image)].reserve) }

    /// The frames that the image's owner wants reserved, `Holding.byDefault` for the default, and whether it has users.
    func wish(of image: UInt16) -> (wanted: Int32, isActive: Bool) {
        (holdings[Int(image)].wanted, holdings[Int(image)].isActive)
    }

    // MARK: Who gives

    /// The image that gives the next frame; nil if none holds any. Amortised O(images / 16).
    @inline(__always)
    mutating func giver() -> UInt16? {
        if credit > 0, holdings[chosen].held > 0 { return UInt16(truncatingIfNeeded: chosen) }
        return chooseGiver()
    }

    @inline(never)
    private mutating func chooseGiver() -> UInt16? {
        while end > 0, holdings[end - 1].held == 0 { end -= 1 }
        guard let image = furthestAbove() else { return nil }
        choose(image)
        return image
    }

    private mutating func choose(_ image: UInt16) {
        chosen = Int(image)
        credit = min(Shares.maxCredit, max(1, Int(holdings[chosen].excess)))
    }

    /// The image has given a flexpage of `frames` frames. If it was not the one chosen, that one had none to give, and
    /// this one gives the next frames too.
    @inline(__always)
    mutating func took(_ frames: UInt64, from image: UInt16) {
        if Int(image) != chosen { choose(image) }
        credit &-= Int(truncatingIfNeeded: frames)
    }

    /// The first image in the order of giving. Nil if none holds any frame. O(images).
    private func furthestAbove() -> UInt16? {
        var best: Int?
        var maximum = Int32.min
        for index in 0..<end where holdings[index].held > 0 && holdings[index].excess > maximum {
            maximum = holdings[index].excess
            best = index
        }
        return best.map { UInt16($0) }
    }

    /// All images that hold frames, in the order of giving: by how far they are above their reserves, then by number.
    /// The list is good until the next call. O(images log images), once for a search through all of them.
    func inOrderOfGiving() -> some Sequence<UInt16> {
        var count = 0
        for index in 0..<end where holdings[index].held > 0 {
            // Ascending, so that the one furthest above comes first.
            let below = UInt64(Int64(Int32.max) - Int64(holdings[index].excess))
            givers[count] = below << 16 | UInt64(index)
            count += 1
        }
        UnsafeMutableBufferPointer(start: givers, count: count)[...].sortInPlace()
        return UnsafeBufferPointer(start: givers, count: count).lazy.map { UInt16(truncatingIfNeeded: $0) }
    }

    // MARK: Reserves

    /// What an owner wants reserved for the image while it has users; nil for the default. O(images).
    /// - Parameter isShare: It follows the number of frames, and is what it is of all that there can be.
    mutating func setReserve(_ wanted: Int?, isShare: Bool = false, of image: UInt16) {
        holdings[Int(image)].wanted = wanted.map { Int32(min(max($0, 0), maxFrames)) } ?? Holding.byDefault
        holdings[Int(image)].wantsShare = isShare
        distribute()
    }

    /// There are `frames` frames now, at most as many as at first. Images may hold more for a while. O(images).
    mutating func setFrames(_ frames: Int) {
        assert(frames <= maxFrames, "there are no more frames than there can be")
        self.frames = frames
        distribute()
    }

    /// The frames that the owner of an image wants of those that there are, or nil if its reserve is the default.
    private func wanted(_ holding: Holding) -> Int? {
        guard holding.wanted != Holding.byDefault else { return nil }
        return holding.wantsShare ? Int(holding.wanted) * frames / maxFrames : min(Int(holding.wanted), frames)
    }

    /// Whether the image has users. O(images).
    mutating func setActive(_ isActive: Bool, _ image: UInt16) {
        holdings[Int(image)].isActive = isActive
        distribute()
    }

    /// The number is no image's any more. O(images).
    mutating func retire(_ image: UInt16) {
        holdings[Int(image)].isActive = false
        setReserve(nil, of: image)
    }

    /// Computes all reserves anew. If owners want more than half of the frames, each gets its part of the half.
    private mutating func distribute() {
        let half = frames / 2
        var wanted = 0
        var sharers = 0
        for index in 0..<images where holdings[index].isActive {
            if let own = self.wanted(holdings[index]) {
                wanted += own
            } else {
                sharers += 1
            }
        }
        let byDefault = sharers == 0 ? 0 : max(0, half - wanted) / sharers
        for index in 0..<images {
            let reserve =
                if !holdings[index].isActive {
                    0
                } else if let own = self.wanted(holdings[index]) {
                    wanted <= half ? own : own * half / wanted
                } else {
                    byDefault
                }
            holdings[index].reserve = Int32(reserve)
        }
        credit = 0
    }

    // MARK: Checks

    /// Whether the sums agree with what they sum up, and reserves leave half of the frames. O(images).
    func checkInvariants() {
        var sum = (held: 0, holders: 0, reserved: 0)
        for index in 0..<images {
            precondition(holdings[index].held >= 0 && holdings[index].reserve >= 0, "nobody has less than nothing")
            precondition(holdings[index].held == 0 || index < end, "an image that holds frames can be chosen")
            sum.held += Int(holdings[index].held)
            sum.holders += holdings[index].held > 0 ? 1 : 0
            sum.reserved += Int(holdings[index].reserve)
        }
        precondition(sum.held == held && sum.holders == holders, "what images hold must add up")
        precondition(sum.reserved <= frames / 2, "reserves leave half of the frames")
    }
}
