import Glibc
import Paging
import TestSupport
import Testing

@testable import Accessors

/// Which contexts calls get, and what becomes of a layer that fails or goes away.
@Suite struct LayerPoolTests {
    private static let size = 1 << 16

    /// A pool over a fake layer, and what it logs.
    private final class Rig: Sendable {
        let layer: FakeLayer
        let pool: LayerPool
        let lines = Guarded<[String]>([])

        init(_ layer: FakeLayer, contexts: Int = 4, retryTime: Int = 5000, trustTime: Int = 3_600_000) throws {
            self.layer = layer
            let lines = lines
            let pool = LayerPool(
                layer, exportName: "disk", isReadOnly: false, contexts: contexts, retryTime: retryTime,
                trustTime: trustTime
            ) { line in lines.withLock { $0.append(line) } }
            self.pool = try #require(pool)
        }

        func read(_ offset: Int64 = 0) throws(AccessError) {
            try pool.perform { context throws(AccessError) in
                try withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { buffer throws(AccessError) in
                    try context.read(into: buffer, at: offset)
                }
            }
        }

        func write(_ byte: UInt8, at offset: Int64 = 0) throws(AccessError) {
            try pool.perform(.change) { context throws(AccessError) in
                try withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { buffer throws(AccessError) in
                    buffer.initializeMemory(as: UInt8.self, repeating: byte)
                    try context.write(from: UnsafeRawBufferPointer(buffer), at: offset)
                }
            }
        }

        /// Closes the pool. The layer has nothing to complain of, and every context is closed.
        func end() {
            pool.close()
            #expect(layer.with { $0.complaints } == [])
            #expect(layer.with { $0.openContexts } == 0)
        }
    }

    private func layer(_ model: LayerModel = .parallel, change: (inout LayerProperties) -> Void = { _ in }) -> FakeLayer
    {
        let layer = FakeLayer(pattern(Self.size), model)
        layer.with { change(&$0.properties) }
        return layer
    }

    private func code(_ body: () throws(AccessError) -> Void) -> Int32 {
        do throws(AccessError) {
            try body()
            return 0
        } catch { return error.code }
    }

    /// Sixteen threads call at once. The layer is called as often at once as it bears, and through as many contexts as
    /// that takes.
    @Test(
        arguments: [
            (.parallel, true, 1), (.oneCallAContext, true, 4), (.oneCallAContext, false, 1), (.oneCall, true, 1),
            (.oneConnection, true, 1),
        ] as [(LayerModel, Bool, Int)])
    func callsAtOnce(model: LayerModel, isMultiConn: Bool, contexts: Int) throws {
        let layer = layer(model) { $0.isMultiConn = isMultiConn }
        layer.delay.store(2000, ordering: .relaxed)
        let rig = try Rig(layer)
        let workers = (0..<16).map { number in
            Worker { for _ in 0..<5 { try rig.read(Int64(number) * 4096) } }
        }
        for worker in workers { worker.start() }
        for worker in workers { try worker.join() }
        #expect(layer.with { $0.opens } == contexts)
        let atOnce = layer.with { $0.maxAtOnce }
        #expect(model == .parallel ? atOnce > 4 : atOnce == contexts)
        #expect(layer.with { $0.names }.allSatisfy { $0 == "disk" })
        rig.end()
    }

    /// A layer that is only read may have several contexts, even if it does not promise that they see each other.
    @Test func readersNeedNoMultiConn() throws {
        let layer = layer(.oneCallAContext) {
            $0.isMultiConn = false
            $0.canWrite = false
        }
        layer.delay.store(5000, ordering: .relaxed)
        let rig = try Rig(layer)
        let workers = (0..<8).map { _ in Worker { try rig.read() } }
        for worker in workers { worker.start() }
        for worker in workers { try worker.join() }
        #expect(layer.with { $0.maxAtOnce } > 1)
        rig.end()
    }

    /// A layer that gives fewer contexts than are wanted is not gone.
    @Test func fewerContexts() throws {
        let layer = layer(.oneCallAContext)
        layer.with { $0.maxContexts = 2 }
        layer.delay.store(2000, ordering: .relaxed)
        let rig = try Rig(layer, contexts: 8)
        let workers = (0..<8).map { _ in Worker { for _ in 0..<5 { try rig.read() } } }
        for worker in workers { worker.start() }
        for worker in workers { try worker.join() }
        #expect(layer.with { $0.maxAtOnce } == 2)
        #expect(rig.lines.withLock { $0 } == [])
        rig.end()
    }

    /// An error of the request's own reaches the caller, and the layer is asked no more than it has to be.
    @Test(arguments: [ENOSPC, EDQUOT, EROFS, EPERM, EOPNOTSUPP, EIO, EINVAL])
    func errorsOfRequests(_ error: Int32) throws {
        let rig = try Rig(layer())
        rig.layer.with { $0.failures = [.write: error] }
        #expect(code { () throws(AccessError) in try rig.write(1) } == error)
        #expect(rig.layer.with { $0.calls[.write] } == 1)
        #expect(rig.layer.with { $0.calls[.read] } == (error == EIO || error == EINVAL ? 1 : nil))
        #expect(rig.layer.with { $0.opens } == 1)
        #expect(rig.lines.withLock { $0 } == [])
        rig.end()
    }

    /// A layer that goes away is opened anew, however often that fails at first. The log has a line of each.
    @Test func goesAwayAndComesBack() throws {
        let rig = try Rig(layer())
        rig.layer.goAway(refusingOpens: 3)
        try rig.read()
        #expect(rig.layer.with { $0.opens } == 5)
        #expect(
            rig.lines.withLock { $0 } == [
                "the fake layer does not answer; it is opened anew, and requests wait at most 5 seconds",
                "the fake layer answers again",
            ])
        rig.end()
    }

    /// Requests do not wait longer than they are told to, and the next ones find it again.
    @Test func staysAway() throws {
        let rig = try Rig(layer(), retryTime: 200)
        rig.layer.goAway(refusingOpens: 1000)
        let begin = MonotonicTime.now
        #expect(code { () throws(AccessError) in try rig.read() } == EIO)
        #expect(MonotonicTime.now - begin >= 200)
        #expect(code { () throws(AccessError) in try rig.write(1) } == EIO)
        #expect(rig.lines.withLock { $0.count } == 1)
        rig.layer.with { $0.refusals = 0 }
        while code({ () throws(AccessError) in try rig.read() }) != 0 {}
        #expect(rig.lines.withLock { $0.count } == 2)
        rig.end()
    }

    /// What has another size is another image.
    @Test func comesBackAsAnother() throws {
        let rig = try Rig(layer())
        rig.layer.with { $0.properties.size -= 4096 }
        rig.layer.goAway()
        #expect(code { () throws(AccessError) in try rig.read() } == EIO)
        #expect(rig.pool.isOver)
        // Nothing is left to flush, and what comes from now on never will be.
        #expect(code { () throws(AccessError) in try rig.pool.flush() } == EIO)
        #expect(
            rig.lines.withLock { $0.last }
                == "the fake layer came back with 61440 bytes, and had 65536: that is another image; nothing is read "
                + "from it or written to it until the server is started anew")
        rig.end()
    }

    /// The first flush after the layer has gone away with something unflushed says so, and the second one does not.
    @Test func flushAfterLoss() throws {
        let rig = try Rig(layer())
        try rig.write(1)
        try rig.pool.flush()
        rig.layer.goAway()
        try rig.read()
        // Nothing was unflushed.
        try rig.pool.flush()
        try rig.write(2)
        rig.layer.goAway()
        try rig.read()
        #expect(code { () throws(AccessError) in try rig.pool.flush() } == ESTALE)
        try rig.write(2)
        try rig.pool.flush()
        #expect(rig.layer.with { $0.durable[0] } == 2)
        rig.end()
    }

    /// The layer goes away in the flush itself: what was written may be gone.
    @Test func goesAwayInFlush() throws {
        let rig = try Rig(layer())
        try rig.write(1)
        rig.layer.goAway()
        #expect(code { () throws(AccessError) in try rig.pool.flush() } == ESTALE)
        try rig.write(1)
        try rig.pool.flush()
        #expect(rig.layer.with { $0.durable[0] } == 1)
        rig.end()
    }

    /// A flush that fails while the layer is there is an error like any other; so is the one after a change that was
    /// flushed alone.
    @Test func failedFlush() throws {
        let rig = try Rig(layer())
        try rig.write(1)
        rig.layer.with { $0.failures = [.flush: ENOSPC] }
        #expect(code { () throws(AccessError) in try rig.pool.flush() } == ENOSPC)
        #expect(code { () throws(AccessError) in try rig.pool.flushContexts() } == ENOSPC)
        rig.layer.with { $0.failures = [:] }
        // The layer has reported that once. Nobody but the caller of flushContexts has heard of it.
        #expect(code { () throws(AccessError) in try rig.pool.flush() } == ESTALE)
        try rig.pool.flush()
        rig.end()
    }

    // MARK: - Probes that a cache below answers

    private static let models: [LayerModel] = [.parallel, .oneCallAContext, .oneCall, .oneConnection]

    /// A layer with a cache goes away and comes back. The cache answers the probe, and what it does not have is read
    /// and written nevertheless: nobody is told that it was a fault of the request.
    @Test(arguments: models) func aCacheAnswersTheProbe(_ model: LayerModel) throws {
        let rig = try Rig(layer(model), trustTime: 0)
        try rig.read()
        rig.layer.with { $0.remembered = 0..<4096 }
        rig.layer.goAway(refusingOpens: 2)
        try rig.read(8192)
        rig.layer.goAway()
        try rig.write(1, at: 8192)
        try rig.pool.flush()
        #expect(rig.layer.with { $0.durable[8192] } == 1)
        rig.end()
    }

    /// The same with a context for each thread: not one of the old ones is used for what it cannot do.
    @Test func aCacheAnswersEachProbe() throws {
        let layer = layer(.oneCallAContext)
        layer.delay.store(2000, ordering: .relaxed)
        let rig = try Rig(layer, trustTime: 0)
        for round in 0..<3 {
            rig.layer.with { $0.remembered = 0..<4096 }
            let workers = (1..<9).map { number in Worker { try rig.read(Int64(number) * 4096) } }
            for worker in workers { worker.start() }
            for worker in workers { try worker.join() }
            rig.layer.goAway(refusingOpens: round)
        }
        try rig.read(8192)
        rig.end()
    }

    /// What was not flushed when such a layer went away is told to be lost.
    @Test(arguments: models) func aFlushOverACache(_ model: LayerModel) throws {
        let rig = try Rig(layer(model), trustTime: 0)
        try rig.write(1)
        rig.layer.with { $0.remembered = 0..<4096 }
        rig.layer.goAway()
        #expect(code { () throws(AccessError) in try rig.pool.flush() } == ESTALE)
        try rig.write(1)
        try rig.pool.flush()
        try rig.write(2)
        rig.layer.goAway()
        try rig.read(8192)
        #expect(code { () throws(AccessError) in try rig.pool.flush() } == ESTALE)
        try rig.write(2)
        try rig.pool.flush()
        #expect(rig.layer.with { $0.durable[0] } == 2)
        rig.end()
    }

    /// A bad block costs one more context. The error is its own, and nothing that was written counts as lost.
    @Test(arguments: models) func aBadBlock(_ model: LayerModel) throws {
        let rig = try Rig(layer(model), trustTime: 0)
        rig.layer.with { $0.badBytes = 8192..<12_288 }
        try rig.write(1)
        #expect(code { () throws(AccessError) in try rig.read(8192) } == EIO)
        #expect(rig.layer.with { $0.opens } == 2)
        try rig.pool.flush()
        #expect(rig.layer.with { $0.durable[0] } == 1)
        #expect(code { () throws(AccessError) in try rig.write(1, at: 8192) } == EIO)
        try rig.read()
        #expect(rig.lines.withLock { $0 } == [])
        rig.end()
    }

    /// A layer whose contexts do not see each other's writes gets another one when the doubtful one is flushed. Before
    /// that, the new one would show old bytes, and the late flush would undo what was written through it.
    @Test(arguments: [LayerModel.parallel, .oneCallAContext]) func noContextBesideChanges(_ model: LayerModel) throws {
        let rig = try Rig(layer(model) { $0.isMultiConn = false }, trustTime: 0)
        rig.layer.with { $0.badBytes = 8192..<12_288 }
        try rig.write(1)
        rig.layer.delay.store(20_000, ordering: .relaxed)
        #expect(code { () throws(AccessError) in try rig.read(8192) } == EIO)
        #expect(rig.layer.with { $0.opens } == 2 && rig.layer.with { $0.opensBesideChanges } == 0)
        rig.end()
    }

    /// A flush that fails in a new context as well is the layer's error, until it succeeds; then what was written is to
    /// be written once more.
    @Test(arguments: models) func aFlushThatFailsInEachContext(_ model: LayerModel) throws {
        let rig = try Rig(layer(model), trustTime: 0)
        try rig.write(1)
        rig.layer.with { $0.failures = [.flush: EIO] }
        for _ in 0..<3 { #expect(code { () throws(AccessError) in try rig.pool.flush() } == EIO) }
        rig.layer.with { $0.failures = [:] }
        #expect(code { () throws(AccessError) in try rig.pool.flush() } == ESTALE)
        try rig.write(1)
        try rig.pool.flush()
        #expect(rig.layer.with { $0.durable[0] } == 1)
        #expect(rig.lines.withLock { $0 } == [])
        rig.end()
    }

    // MARK: - Calls that hang

    /// A call hangs in a context that has broken. A layer that bears several is opened anew nevertheless, and the call
    /// is made again once it has ended. One that bears only one is waited for.
    @Test(arguments: models) func aHungCall(_ model: LayerModel) throws {
        let rig = try Rig(layer(model), contexts: 2, retryTime: 500)
        rig.layer.with { $0.hangingBytes = 8192..<12_288 }
        let hung = Worker { try rig.read(8192) }
        hung.start()
        while rig.layer.with({ $0.callsAtOnce }) == 0 { usleep(1000) }
        rig.layer.goAway()
        if model == .parallel || model == .oneCallAContext {
            try rig.read()
            try rig.write(1)
            try rig.pool.flush()
            #expect(rig.layer.with { $0.durable[0] } == 1)
        }
        rig.layer.with { $0.hangingBytes = 0..<0 }
        try hung.join()
        try rig.read()
        rig.end()
    }

    /// Closing a context hangs. Others are opened beside it, until there are too many.
    @Test(arguments: models) func aHungClose(_ model: LayerModel) throws {
        let rig = try Rig(layer(model), contexts: 1, retryTime: 200)
        rig.layer.with { $0.closeHangs = true }
        let possible = model == .parallel || model == .oneCallAContext ? 4 : 0
        for _ in 0..<possible {
            rig.layer.goAway()
            try rig.read()
        }
        rig.layer.goAway()
        #expect(code { () throws(AccessError) in try rig.read() } == EIO)
        #expect(rig.layer.with { $0.openContexts } == possible + 1)
        rig.layer.with { $0.closeHangs = false }
        while code({ () throws(AccessError) in try rig.read() }) != 0 {}
        rig.end()
    }
}
