import Glibc
import Paging
import Synchronization

@testable import Accessors

/// A layer in memory that breaks the rules of no caller, and notes who breaks its own: calls at once that it does not
/// bear, ranges that are no blocks, calls that its properties do not allow.
///
/// It can fail, go away and come back. What was written since the last flush is forgotten then.
final class FakeLayer: Layer, @unchecked Sendable {
    let label = "the fake layer"
    let model: LayerModel
    private let state: Guarded<State>
    /// How long each call takes, microseconds.
    let delay = Atomic<UInt32>(0)

    struct State {
        var properties: LayerProperties
        /// What a reader finds.
        var bytes: [UInt8]
        /// What is left when it has gone away.
        var durable: [UInt8]
        /// Contexts that were opened before the layer went away last do not work any more.
        var generation = 0
        /// How many opens fail before one succeeds.
        var refusals = 0
        /// The maximum number of contexts.
        var maxContexts = Int.max
        /// What calls fail with, by kind, and whether the layer answers reads meanwhile.
        var failures: [Kind: Int32] = [:]
        /// Reads in it succeed whatever has become of the layer: a cache below has it.
        var remembered: Range<Int64> = 0..<0
        /// Reads and writes that touch it fail.
        var badBytes: Range<Int64> = 0..<0
        /// Reads that touch it do not end.
        var hangingBytes: Range<Int64> = 0..<0
        /// Closing a context does not end.
        var closeHangs = false

        // What happened.
        var openContexts = 0
        var opens = 0
        /// How many of these came while something was written and not flushed.
        var opensBesideChanges = 0
        var calls: [Kind: Int] = [:]
        var callsAtOnce = 0
        var maxAtOnce = 0
        var largest = 0
        /// Reads and writes, in their order.
        var ranges: [Range<Int64>] = []
        var complaints: [String] = []
        var names: [String] = []
    }

    enum Kind: Hashable { case read, write, flush, zero, trim, extents }

    init(_ bytes: [UInt8], _ model: LayerModel = .parallel, _ properties: LayerProperties? = nil) {
        self.model = model
        var all = properties ?? LayerProperties(size: Int64(bytes.count))
        if properties == nil {
            all.canWrite = true
            all.canFlush = true
            all.canZero = true
            all.isMultiConn = true
        }
        state = Guarded(State(properties: all, bytes: bytes, durable: bytes))
    }

    func with<Result>(_ body: (inout State) -> Result) -> Result { state.withLock(body) }

    /// What a reader finds.
    var bytes: [UInt8] { with { $0.bytes } }

    /// All contexts stop working, and what was not flushed is gone.
    func goAway(refusingOpens refusals: Int = 0) {
        with { state in
            state.generation += 1
            state.refusals = refusals
            state.bytes = state.durable
        }
    }

    func open(exportName: String, isReadOnly: Bool) -> (any LayerContext)? {
        with { state -> FakeContext? in
            state.opens += 1
            if state.bytes != state.durable { state.opensBesideChanges += 1 }
            state.names.append(exportName)
            guard state.refusals == 0, state.openContexts < state.maxContexts else {
                state.refusals = max(0, state.refusals - 1)
                return nil
            }
            state.openContexts += 1
            if state.openContexts > 1, model == .oneConnection || model == .oneCall {
                state.complaints.append("\(state.openContexts) contexts are open")
            }
            return FakeContext(self, state.properties, state.generation)
        }
    }
}

/// A context of a FakeLayer.
final class FakeContext: LayerContext, @unchecked Sendable {
    private let layer: FakeLayer
    let properties: LayerProperties
    private let generation: Int
    private let callsAtOnce = Atomic<Int>(0)
    private let isClosed = Atomic<Bool>(false)

    init(_ layer: FakeLayer, _ properties: LayerProperties, _ generation: Int) {
        self.layer = layer
        self.properties = properties
        self.generation = generation
    }

    private func call(
        _ kind: FakeLayer.Kind, _ range: Range<Int64>? = nil, isAllowed: Bool = true,
        _ body: (inout FakeLayer.State) -> Void
    ) throws(AccessError) {
        let atOnce = callsAtOnce.wrappingAdd(1, ordering: .relaxed).newValue
        let isOverlapping = layer.model != .parallel && atOnce > 1
        layer.with { state in
            state.callsAtOnce += 1
            state.maxAtOnce = max(state.maxAtOnce, state.callsAtOnce)
            state.calls[kind, default: 0] += 1
            if isOverlapping { state.complaints.append("\(kind): another call is under way in the context") }
            if state.callsAtOnce > 1, layer.model == .oneCall || layer.model == .oneConnection {
                state.complaints.append("\(kind): another call is under way")
            }
            if isClosed.load(ordering: .relaxed) { state.complaints.append("\(kind) after close") }
            if !isAllowed { state.complaints.append("\(kind) is not allowed") }
            if let range { check(kind, range, &state) }
        }
        let delay = layer.delay.load(ordering: .relaxed)
        if delay > 0 { usleep(delay) }
        while kind == .read, layer.with({ range?.overlaps($0.hangingBytes) ?? false }) { usleep(1000) }
        let failure = layer.with { state -> Int32? in
            state.callsAtOnce -= 1
            let failure = self.failure(kind, range, state)
            if failure == nil { body(&state) }
            return failure
        }
        callsAtOnce.wrappingSubtract(1, ordering: .relaxed)
        if let failure { throw AccessError(failure) }
    }

    private func failure(_ kind: FakeLayer.Kind, _ range: Range<Int64>?, _ state: FakeLayer.State) -> Int32? {
        if let range, kind == .read, range.clamped(to: state.remembered) == range { return nil }
        if let range, range.overlaps(state.badBytes) { return EIO }
        return state.generation == generation ? state.failures[kind] : EIO
    }

    private func check(_ kind: FakeLayer.Kind, _ range: Range<Int64>, _ state: inout FakeLayer.State) {
        let block = Int64(properties.minBlock)
        let isWhole =
            range.lowerBound % block == 0
            && (range.upperBound % block == 0 || range.upperBound == properties.size)
        if !isWhole || range.isEmpty || range.upperBound > properties.size {
            state.complaints.append("\(kind) of \(range)")
        }
        if kind == .read || kind == .write {
            state.largest = max(state.largest, range.count)
            state.ranges.append(range)
            if range.count > properties.maxRequest { state.complaints.append("\(kind) of \(range.count) bytes") }
        }
    }

    private func range(_ offset: Int64, _ count: Int) -> Range<Int64> { offset..<offset + Int64(count) }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(AccessError) {
        try call(.read, range(offset, buffer.count)) { state in
            state.bytes.withUnsafeBytes { bytes in
                buffer.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: bytes[Int(offset)..<Int(offset) + buffer.count]))
            }
        }
    }

    func write(from buffer: UnsafeRawBufferPointer, at offset: Int64) throws(AccessError) {
        try call(.write, range(offset, buffer.count), isAllowed: properties.canWrite) { state in
            state.bytes.withUnsafeMutableBytes { bytes in
                UnsafeMutableRawBufferPointer(rebasing: bytes[Int(offset)...]).copyMemory(from: buffer)
            }
        }
    }

    func flush() throws(AccessError) {
        try call(.flush, isAllowed: properties.canFlush) { $0.durable = $0.bytes }
    }

    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {
        let isAllowed = properties.canZero && (!onlyIfFast || properties.canZeroFast)
        try call(.zero, range, isAllowed: isAllowed) { state in
            state.bytes.withUnsafeMutableBytes { _ = memset($0.baseAddress! + Int(range.lowerBound), 0, range.count) }
        }
    }

    /// Forgets nothing: a layer need not.
    func trim(_ range: Range<Int64>) throws(AccessError) {
        try call(.trim, range, isAllowed: properties.canTrim) { _ in }
    }

    /// Runs of zeroes of whole kibibytes are holes.
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        var found: [Extent] = []
        try call(.extents, range, isAllowed: properties.knowsExtents) { state in
            var position = range.lowerBound
            while position < range.upperBound {
                let end = min(position + 1024, range.upperBound)
                // Random bytes have no two zeroes here and there.
                let isHole = state.bytes[Int(position)] == 0 && state.bytes[Int(end) - 1] == 0
                found.append(Extent(position..<end, isHole ? .hole : .data))
                position = end
            }
        }
        for extent in found where !report(extent) { return }
    }

    func close() {
        if isClosed.exchange(true, ordering: .relaxed) { layer.with { $0.complaints.append("closed twice") } }
        if callsAtOnce.load(ordering: .relaxed) > 0 { layer.with { $0.complaints.append("closed during a call") } }
        while layer.with({ $0.closeHangs }) { usleep(1000) }
        layer.with { $0.openContexts -= 1 }
    }
}
