import CStateFormat
import Synchronization

/// Sectors that are being overwritten, with their bytes from before, in case the server dies meanwhile.
///
///     free ── claim ──▶ idle ── save the old bytes ──▶ active ── the sector is written ──▶ idle ── give back ──▶ free
///
/// A thread that writes claims one slot for each base page. It takes a copy of 512 bytes for each sector, which the
/// processor's nearest cache holds. A thread that finds no free slot waits for one: those that have one are copying,
/// and wait for nothing.
struct UndoSlots: @unchecked Sendable {
    private typealias Slot = flexpage_state_slot

    private let slots: UnsafeMutablePointer<flexpage_state_slot>
    private let count: Int
    private static let sector = 512
    private static let idle = FLEXPAGE_STATE_SLOT_IDLE
    private static let active = FLEXPAGE_STATE_SLOT_ACTIVE

    init(at slots: UnsafeMutableRawPointer, count: Int) {
        self.slots = slots.assumingMemoryBound(to: Slot.self)
        self.count = count
    }

    /// The number of slots for this number of frames.
    static func count(frames: Int) -> Int { min(64, max(8, frames / 64)) }

    private func word(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        UnsafeMutableRawPointer(slots + index).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    private func bytes(_ index: Int) -> UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(slots + index) + MemoryLayout<Slot>.offset(of: \Slot.bytes)!
    }

    private func claim() -> Int {
        while true {
            for index in 0..<count where word(index).pointee.load(ordering: .relaxed) == 0 {
                let (isClaimed, _) = word(index).pointee.compareExchange(
                    expected: 0, desired: UndoSlots.idle, ordering: .acquiring)
                if isClaimed { return index }
            }
            MonotonicClock.sleepBriefly()
        }
    }

    /// Overwrites `count` bytes at `offset`, a sector at a time.
    func write(atOffset offset: Int, in memory: UnsafeMutableRawPointer, from source: UnsafeRawPointer?, count: Int) {
        let slot = claim()
        var done = 0
        while done < count {
            let begin = offset + done
            let size = min(UndoSlots.sector - begin % UndoSlots.sector, count - done)
            save(begin / UndoSlots.sector, of: memory, in: slot)
            KeptState.copyInSteps(to: memory + begin, from: source.map { $0 + done }, count: size)
            flexpage_keep_order()
            word(slot).pointee.store(UndoSlots.idle, ordering: .releasing)
            flexpage_keep_order()
            done += size
        }
        word(slot).pointee.store(0, ordering: .releasing)
    }

    private func save(_ sector: Int, of memory: UnsafeMutableRawPointer, in slot: Int) {
        bytes(slot).copyMemory(from: memory + sector * UndoSlots.sector, byteCount: UndoSlots.sector)
        flexpage_keep_order()
        Schedule.step()
        word(slot).pointee.store(UndoSlots.active | UInt64(sector), ordering: .releasing)
        flexpage_keep_order()
    }

    /// Gives back to each sector that was being overwritten its bytes from before, and frees all slots.
    /// - Parameter isOwed: Whether what this frame holds is owed. What is not owed is not given back.
    func undo(in memory: UnsafeMutableRawPointer, frames: Int, where isOwed: (Int) -> Bool) {
        for index in 0..<count {
            let word = word(index).pointee.load(ordering: .acquiring)
            let sector = word & ~UndoSlots.active
            if word & UndoSlots.active != 0, sector < UInt64(frames * BasePage.size / UndoSlots.sector) {
                let offset = Int(sector) * UndoSlots.sector
                if isOwed(offset / BasePage.size) {
                    (memory + offset).copyMemory(from: bytes(index), byteCount: UndoSlots.sector)
                }
            }
            flexpage_keep_order()
            self.word(index).pointee.store(0, ordering: .releasing)
        }
    }
}
