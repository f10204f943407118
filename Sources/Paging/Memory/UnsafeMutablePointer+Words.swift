import Synchronization

extension UnsafeMutablePointer where Pointee: ~Copyable {
    /// Sets a record of whole words to zero, as that of a new image. It is not initialised instead, which is a plain
    /// copy, because other threads look at atomic words of the records of all images meanwhile. They may see some words
    /// of before.
    ///
    /// Thread rules: any thread, without a lock. No Scheduler draws an order here. O(words).
    func zeroWords() {
        assert(MemoryLayout<Pointee>.stride % MemoryLayout<UInt64>.stride == 0, "the record has only words")
        let count = MemoryLayout<Pointee>.stride / MemoryLayout<UInt64>.stride
        UnsafeMutableRawPointer(self).withMemoryRebound(to: Synchronization.Atomic<UInt64>.self, capacity: count) {
            for word in 0..<count { $0[word].store(0, ordering: .relaxed) }
        }
    }
}
