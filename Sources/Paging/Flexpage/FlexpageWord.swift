import Synchronization

/// What a hit needs of a flexpage: eight bytes, in a table of their own.
///
/// A hit touches no other record of its flexpage. So the processor's caches have to keep 2 MiB of these words for a GiB
/// of base pages, and not 8 MiB of whole records.
struct FlexpageWord: ~Copyable {
    /// Pins, latch, and what is being done with it; see PageState.
    let state: Atomic<UInt32>
    /// Where the PageQueue has it, which decides whether a hit counts, and its order; see QueuePosition.
    let position: Atomic<UInt32>
}
