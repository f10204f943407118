import CSignalStack

/// The memory in use is less than `memory=`, for as long as a person wants it so: whole blocks of it are emptied and
/// given to the system, and taken back.
///
///            close                  vacate, until nothing is left            MemoryBacking.release
///     open ────────▶ being emptied ────────────────────────────────▶ empty ─────────────────────────▶ given
///       ▲                  │ it takes too long, or nobody wants it any more                             │
///       └──────────────────┴─────────────────────────── reopen, after MemoryBacking.allocate ───────────┘
///
/// One thread does that, in the background. It begins with the first limit, and no server has it before. It chooses the
/// blocks that are cheapest to empty. Nothing of a block that is being emptied is handed out, and what lies in it is
/// moved (Pages+Vacating). A block in which a thread uses a page is tried again for a while, without a lock. If nothing
/// changes in it, as behind a disk that hangs, it is opened again, and the next one is taken.
///
/// What is computed from the number of frames follows (`Pages.follow`): at once if there are to be fewer, and as blocks
/// come back if there are to be more.
///
/// Thread rules: any thread may want a limit, and ask how far it is. `monitor` is innermost.
public final class MemoryLimit: @unchecked Sendable {
    private let pages: Pages
    private let registry: ProviderRegistry
    private let monitor = Monitor()
    private var crew = Crew()
    private let grid: BlockGrid
    private let minFrames: Int

    // Under `monitor`.
    private var hasThread = false
    private var isStopping = false
    private var orders = 0
    /// The last order that all has followed.
    private var followed = 0
    /// What is wanted, bytes.
    private var limit: Int
    /// Blocks that are to be given.
    private var target = 0
    /// Blocks that are given. Only the thread changes it.
    private var given: [Int] = []
    private var obstacle: LimitProgress.Obstacle?

    /// The minimum number of frames that are left, if reserves do not want more: 1 MiB.
    private static let minFrames = Memory.minBytes / BasePage.size
    /// How many times in a row a block is looked at in which nothing changes: for some 50 ms.
    private static let maxStalls = 50
    /// How many of these it counts if there is no room for what lies in the block.
    private static let stallsWithoutRoom = 10
    /// The time between two attempts that come to nothing, milliseconds.
    private static let retryInterval = 200

    public convenience init(pages: Pages, registry: ProviderRegistry) {
        self.init(pages: pages, registry: registry, minFrames: MemoryLimit.minFrames)
    }

    /// - Parameter minFrames: The minimum number of frames that are left.
    init(pages: Pages, registry: ProviderRegistry, minFrames: Int) {
        self.minFrames = minFrames
        self.pages = pages
        self.registry = registry
        grid = pages.memory.grid
        limit = pages.bytes
    }

    deinit { monitor.destroy() }

    // MARK: What is wanted

    /// The minimum that the memory can be limited to, bytes.
    /// - Parameter reserves: What images want reserved. Together it is at most half of the pages.
    public func min(reserves: [Reserve]) -> Int {
        var (possible, tooMany) = (0, grid.count + 1)
        while tooMany - possible > 1 {
            let middle = (possible + tooMany) / 2
            if isEnough(frames(withGiven: middle), for: reserves) { possible = middle } else { tooMany = middle }
        }
        return bytes(withGiven: possible)
    }

    private func isEnough(_ frames: Int, for reserves: [Reserve]) -> Bool {
        guard frames >= minFrames else { return false }
        let wanted = reserves.reduce(0) { $0 + Swift.min($1.frames(of: frames), frames) }
        return wanted <= frames / 2
    }

    private func frames(withGiven blocks: Int) -> Int { pages.frames - blocks * grid.size }
    private func bytes(withGiven blocks: Int) -> Int { pages.bytes - blocks * grid.size * BasePage.size }

    /// Wants the memory in use to be at most `bytes` bytes, pages and tables together. It replaces what was wanted
    /// before. Returns at once.
    /// - Parameter reserves: See `min`.
    /// - Returns: The number of this order.
    @discardableResult
    public func set(_ bytes: Int, reserves: [Reserve] = []) throws(LimitRefusal) -> Int {
        guard bytes <= pages.bytes else { throw .above(max: pages.bytes) }
        let min = min(reserves: reserves)
        guard bytes >= min else { throw .below(min: min) }
        let blockBytes = grid.size * BasePage.size
        monitor.lock()
        defer { monitor.unlock() }
        do throws(AccessError) {
            try startThread()
        } catch {
            throw .noThread(error)
        }
        limit = bytes
        target = (pages.bytes - bytes + blockBytes - 1) / blockBytes
        orders += 1
        obstacle = nil
        monitor.wakeAll()
        return orders
    }

    private func startThread() throws(AccessError) {
        guard !hasThread, !isStopping else { return }
        try crew.start(1, Unmanaged.passUnretained(self).toOpaque()) { argument in
            signal_stack_prepare()
            Unmanaged<MemoryLimit>.fromOpaque(argument!).takeUnretainedValue().work()
            return nil
        }
        hasThread = true
    }

    /// How far the last limit is.
    public var progress: LimitProgress {
        monitor.withLock {
            LimitProgress(
                limit: limit, held: bytes(withGiven: given.count),
                isReached: given.count == target && followed == orders,
                obstacle: given.count == target ? nil : obstacle, orders: orders)
        }
    }

    /// Ends the thread, and waits until it has ended. A block that is being emptied is opened again. Called once,
    /// before the last reference goes.
    public func stop() {
        monitor.withLock {
            isStopping = true
            monitor.wakeAll()
        }
        crew.join()
    }

    // MARK: The thread

    /// What the thread does next.
    private enum Step { case follow, lower, raise, end }

    private func work() {
        while true {
            switch nextStep() {
            case .follow: follow()
            case .lower: lower()
            case .raise: raise()
            case .end: return
            }
        }
    }

    /// Sleeps until there is something to do.
    private func nextStep() -> Step {
        monitor.lock()
        defer { monitor.unlock() }
        while !isStopping {
            if followed != orders { return .follow }
            if given.count < target { return .lower }
            if given.count > target { return .raise }
            monitor.wait()
        }
        return .end
    }

    /// Whether one more block is to be given.
    private var isLowering: Bool { monitor.withLock { !isStopping && given.count < target } }

    /// Says why nothing comes of it, unless something else is wanted by now.
    private func note(_ obstacle: LimitProgress.Obstacle) {
        monitor.withLock { if followed == orders { self.obstacle = obstacle } }
    }

    /// Says why nothing comes of it, and sleeps for a while or until something else is wanted. That has its own
    /// obstacles.
    private func rest(_ obstacle: LimitProgress.Obstacle) {
        monitor.lock()
        defer { monitor.unlock() }
        guard followed == orders, !isStopping else { return }
        self.obstacle = obstacle
        monitor.wait(milliseconds: MemoryLimit.retryInterval)
    }

    /// Tells all that is computed from the number of frames.
    private func follow() {
        let (blocks, order) = monitor.withLock { (Swift.max(target, given.count), orders) }
        pages.follow(frames: frames(withGiven: blocks))
        registry.wakeFills()
        monitor.withLock { followed = order }
    }

    // MARK: Less

    /// Goes once through all blocks, the cheapest first, until enough are given.
    private func lower() {
        var hasGiven = false
        for block in blocksByCost() {
            guard isLowering else { return }
            guard leavesRoomForReads else {
                pages.writebackQueue.kick()
                return rest(.inUse)
            }
            switch empty(block) {
            case .done:
                do throws(AccessError) {
                    try give(block)
                    hasGiven = true
                } catch {
                    reopen(block)
                    return rest(.notTaken(error))
                }
            case .stuck: note(.inUse)
            // For what lies in other blocks there is no room either.
            case .noRoom: return rest(.inUse)
            }
        }
        if isLowering, !hasGiven { rest(.inUse) }
    }

    /// Whether one block less leaves reads an eighth of the memory that there is at the limit, or more. What is dirty
    /// and cannot go out, because its disk hangs, must not drive out everything else.
    private var leavesRoomForReads: Bool {
        let (count, target) = monitor.withLock { (self.given.count, self.target) }
        return frames(withGiven: count + 1) - pages.dirtyLimit.pages >= frames(withGiven: target) / 8
    }

    /// What has become of a block that was to be emptied.
    private enum Emptied {
        /// It is empty, and closed.
        case done
        /// It takes too long, or nobody wants it any more: it is open again.
        case stuck
        /// There is no room for what lies in it: it is open again.
        case noRoom
    }

    /// Open blocks, the cheapest to empty first; of two that cost the same, the one with higher addresses, because the
    /// Memory hands out the lowest first. O(frames).
    private func blocksByCost() -> [Int] {
        let open = (0..<grid.count).filter { !pages.memory.isClosed($0) }
        let costs = open.map { block in
            let frames = grid.frames(of: block)
            return pages.queue.cost(ofEmptying: frames, freeFrames: pages.memory.freeFrames(in: frames))
        }
        return open.indices.sorted { (costs[$0], -open[$0]) < (costs[$1], -open[$1]) }.map { open[$0] }
    }

    private func empty(_ block: Int) -> Emptied {
        pages.memory.close(block)
        var (withheld, stalls, hadRoom) = (pages.memory.withheldFrames(in: block), 0, true)
        while withheld < grid.size {
            guard stalls < MemoryLimit.maxStalls, isLowering else {
                reopen(block)
                return hadRoom ? .stuck : .noRoom
            }
            hadRoom = pages.vacate(grid.frames(of: block))
            let now = pages.memory.withheldFrames(in: block)
            if now > withheld {
                (withheld, stalls) = (now, 0)
                continue
            }
            // That there is no room takes long to find out: it is asked less often.
            let naps = hadRoom ? 1 : MemoryLimit.stallsWithoutRoom
            stalls += naps
            pages.writebackQueue.kick()
            for _ in 0..<naps { MonotonicClock.sleepBriefly() }
        }
        return .done
    }

    private func give(_ block: Int) throws(AccessError) {
        if let kept = pages.table.kept {
            assert(grid.frames(of: block).allSatisfy { !kept[Int($0)].isLive }, "an empty block holds nothing (12)")
        }
        try pages.memory.backing.release(pages.memory.bytes(ofBlock: block))
        monitor.withLock { given.append(block) }
    }

    private func reopen(_ block: Int) {
        pages.memory.reopen(block)
        pages.waiters.wake()
    }

    // MARK: More

    /// Takes a block back.
    private func raise() {
        let (block, blocks) = monitor.withLock { (given[given.count - 1], Swift.max(target, given.count - 1)) }
        do throws(AccessError) {
            try pages.memory.backing.allocate(pages.memory.bytes(ofBlock: block))
        } catch {
            return rest(.notGiven(error))
        }
        reopen(block)
        pages.follow(frames: frames(withGiven: blocks))
        registry.wakeFills()
        // Whoever sees that the limit is reached finds that everything has followed.
        monitor.withLock { _ = given.removeLast() }
    }
}
