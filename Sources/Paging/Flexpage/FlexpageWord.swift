import Synchronization

/// What a hit needs of a flexpage: eight bytes, in a table of their own.
///
/// A hit touches no other record of its flexpage, so a GiB of base pages has 2 MiB of these words and not 8 MiB of
/// whole records to keep near the processor.
struct FlexpageWord: ~Copyable {
    /// Pins, latch, and what is being done with it; see PageState.
    let state: Atomic<UInt32>
    /// Where the PageQueue has it, for whoever counts a hit, and its order; see QueuePosition.
    let position: Atomic<UInt32>
}
