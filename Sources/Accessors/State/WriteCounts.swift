import CStateFormat
import Paging
import Synchronization

/// Counts the calls that change an image, in the record that the next server finds. If a server dies in such a call, it
/// has begun and never ended.
///
/// Thread rules: any thread, without a lock. Two atomic additions for each call.
struct WriteCounts: @unchecked Sendable {
    let begun: UnsafeMutablePointer<Atomic<UInt64>>
    let ended: UnsafeMutablePointer<Atomic<UInt64>>

    init(_ kept: KeptImage) {
        begun = kept.counter(\.writes_begun)
        ended = kept.counter(\.writes_ended)
    }

    /// The numbers of a new server, of which no call is under way.
    func reset() {
        begun.pointee.store(0, ordering: .sequentiallyConsistent)
        ended.pointee.store(0, ordering: .sequentiallyConsistent)
    }

    @inline(__always)
    func begin() { begun.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent) }

    @inline(__always)
    func end() { ended.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent) }
}
