/// The draws of a schedule, written to memory that outlives the schedule.
public struct Journal: @unchecked Sendable {
    private let memory: UnsafeMutableRawBufferPointer

    /// - Parameter memory: The first eight bytes become the number of draws, and the rest the draws. Draws that do not
    ///   fit are not written.
    public init(in memory: UnsafeMutableRawBufferPointer) { self.memory = memory }

    private var count: UnsafeMutablePointer<Int> { memory.baseAddress!.assumingMemoryBound(to: Int.self) }

    func clear() { count.pointee = 0 }

    func append(_ option: UInt8) {
        guard 8 + count.pointee < memory.count else { return }
        memory[8 + count.pointee] = option
        count.pointee += 1
    }

    /// The draws that did not take option 0.
    public var deviations: [Deviation] {
        (0..<count.pointee).filter { memory[8 + $0] != 0 }.map { Deviation($0, Int(memory[8 + $0])) }
    }
}
