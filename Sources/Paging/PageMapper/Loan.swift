/// Flexpages lent to a client while it copies: a run of the image that lies in up to 16 flexpages of one chunk.
///
/// A flexpage that is lent is not recycled, moved or refilled (invariant 4). A Loan cannot be copied, and its end gives
/// the pins back. So the compiler sees to it that each pin is given back once. A thread that has a loan waits for
/// nothing until it has given it back (invariant 9). A loan for reading is shared, one for writing is exclusive
/// (invariant 11).
///
/// It lives on the stack, and costs one atomic operation for each flexpage at its beginning and one at its end. A loan
/// of zeroes, or of what has been written around the Memory, has a range and no flexpage, and costs nothing.
/// PageMapper+Lending makes all others.
struct Loan: ~Copyable {
    /// The maximum number of flexpages in a loan.
    static let capacity = 16

    private let context: PageMapper.Context
    /// The first flexpage has a field of its own: most loans have no other, and it stays in a register.
    private var first = FlexpageID.none
    private var others = InlineArray<15, FlexpageID>(repeating: .none)
    /// What this loan has added to the word of each flexpage: a pin, and a writer's latch.
    private let pin: UInt32
    private(set) var count = 0
    /// A marked page that the client has come to with this loan, so that the next window is read ahead.
    var mark: UInt64?
    /// The bytes of the image that the loan covers; empty if nothing could be lent. If `count` is 0, they are zeroes,
    /// or for a writer have been written.
    private(set) var range: Range<Int64>

    /// A loan of nothing yet, that begins at `offset`.
    /// - Parameter exclusively: The client writes, and alone has the flexpages.
    /// - Parameter fresh: No client has ever had them before.
    @inline(__always)
    init(
        _ context: PageMapper.Context, at offset: Int64, exclusively: Bool = false, fresh: Bool = false
    ) {
        pin = PageState.pin | (exclusively ? PageState.exclusive : 0) | (fresh ? PageState.fresh : 0)
        self.context = context
        range = offset..<offset
    }

    /// A loan of `range`, which is known to be zeroes, and of no flexpage.
    init(_ context: PageMapper.Context, zeroes range: Range<Int64>) {
        self.init(context, at: range.lowerBound)
        self.range = range
    }

    /// A loan of `range`, which has been written around the Memory, and of no flexpage.
    init(_ context: PageMapper.Context, writtenAround range: Range<Int64>) {
        self.init(context, at: range.lowerBound, exclusively: true)
        self.range = range
    }

    @inline(__always)
    var isFull: Bool { count == Loan.capacity }

    @inline(__always)
    private subscript(index: Int) -> FlexpageID { index == 0 ? first : others[index &- 1] }

    /// Adds flexpage `id`, pinned by the caller, which covers the loan's end; the loan then ends where the flexpage
    /// ends, but not after `limit`.
    @inline(__always)
    mutating func add(_ id: FlexpageID, upTo limit: Int64) {
        assert(!isFull && range.upperBound < limit, "a loan takes what it has room for")
        assert(context.table[id].covered.contains(BasePage.number(of: range.upperBound)), "a loan is one run")
        assert(context.table.state(of: id).pins > 0, "what is lent is pinned")
        if count == 0 { first = id } else { others[count &- 1] = id }
        count &+= 1
        range = range.lowerBound..<min(bytes(of: id, at: range.upperBound).upperBound, limit)
    }

    /// The bytes of the image that flexpage `id`, which is pinned and has `offset` in it, covers.
    @inline(__always)
    private func bytes(of id: FlexpageID, at offset: Int64) -> Range<Int64> {
        let position = QueuePosition(context.table.word(id).pointee.position.load(ordering: .relaxed))
        let size = Int64(BasePage.size) &<< Int64(position.order)
        let begin = offset & ~(size &- 1)
        return begin..<begin &+ size
    }

    /// Calls `body` with the memory of each part of the loan, in order, and the offset of the part in the loan.
    @inline(__always)
    func forEachPart(_ body: (UnsafeMutableRawBufferPointer, Int) -> Void) {
        var offset = range.lowerBound
        for index in 0..<count {
            let id = self[index]
            let bytes = bytes(of: id, at: offset)
            let end = min(bytes.upperBound, range.upperBound)
            let memory = context.table.memory(of: id) + Int(offset &- bytes.lowerBound)
            let part = UnsafeMutableRawBufferPointer(start: memory, count: Int(end &- offset))
            body(part, Int(offset &- range.lowerBound))
            Schedule.step()
            offset = end
        }
    }

    @inline(__always)
    deinit {
        var offset = range.lowerBound
        for index in 0..<count {
            let id = self[index]
            let page = BasePage.number(of: offset)
            // Once the pin is gone, the flexpage may become another one.
            offset = bytes(of: id, at: offset).upperBound
            context.giveBack(id, covering: page, pin)
        }
    }
}
