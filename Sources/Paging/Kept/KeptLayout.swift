import CStateFormat

/// Where each part of a kept section lies, for a number of frames.
///
/// Bytes for each frame, beside its 4096: its word 8, the records of images 16, undo slots 9 or less. Together that is
/// some 0.8 % of the memory, and more if there are fewer than 1024 frames: 16 KiB at least for the images.
public struct KeptLayout: Equatable, Sendable {
    public let frames: Int
    let images: Int
    let slots: Int
    let imagesOffset: Int
    let wordsOffset: Int
    let slotsOffset: Int
    let memoryOffset: Int
    /// Bytes of all of it, a multiple of `unit`.
    public let bytes: Int

    /// - Parameter unit: Bytes of the pages that the memory comes in, a multiple of the base page.
    init(frames: Int, unit: Int = BasePage.size) {
        self.frames = frames
        images = KeptLayout.images(frames: frames)
        slots = UndoSlots.count(frames: frames)
        imagesOffset = BasePage.size
        wordsOffset = imagesOffset + KeptLayout.rounded(images * MemoryLayout<flexpage_state_image>.stride)
        slotsOffset = wordsOffset + KeptLayout.rounded(frames * MemoryLayout<UInt64>.stride)
        memoryOffset = slotsOffset + KeptLayout.rounded(slots * MemoryLayout<flexpage_state_slot>.stride)
        bytes = KeptLayout.rounded(memoryOffset + frames * BasePage.size, to: unit)
    }

    /// The layout of a Memory of `bytes` bytes, of which its tables take their part. Nil if that is too little.
    public init?(memory bytes: Int, unit: Int = BasePage.size) {
        guard let frames = Metadata.frames(fittingInto: bytes, atLeast: Memory.minFrames, keptIn: unit) else {
            return nil
        }
        self.init(frames: frames, unit: unit)
    }

    /// How many images there can be at once.
    static func images(frames: Int) -> Int { min(Int(FLEXPAGE_STATE_MAX_IMAGES), max(16, frames / 64)) }

    private static func rounded(_ bytes: Int, to unit: Int = BasePage.size) -> Int {
        (bytes + unit - 1) / unit * unit
    }

    /// Whether a header says the same.
    func agrees(with header: flexpage_state_header) -> Bool {
        header.frames == UInt64(frames) && header.images == UInt32(images) && header.slots == UInt32(slots)
            && header.images_offset == UInt64(imagesOffset) && header.words_offset == UInt64(wordsOffset)
            && header.slots_offset == UInt64(slotsOffset) && header.memory_offset == UInt64(memoryOffset)
            && header.image_bytes == UInt32(MemoryLayout<flexpage_state_image>.stride)
            && header.slot_bytes == UInt32(MemoryLayout<flexpage_state_slot>.stride)
    }

    func writeHeader(at base: UnsafeMutableRawPointer) {
        let header = base.bindMemory(to: flexpage_state_header.self, capacity: 1)
        header.pointee = flexpage_state_header()
        header.pointee.magic = FLEXPAGE_STATE_MAGIC
        header.pointee.version = UInt32(FLEXPAGE_STATE_VERSION)
        header.pointee.header_bytes = UInt32(MemoryLayout<flexpage_state_header>.stride)
        header.pointee.file_bytes = UInt64(bytes)
        header.pointee.frames = UInt64(frames)
        header.pointee.images = UInt32(images)
        header.pointee.image_bytes = UInt32(MemoryLayout<flexpage_state_image>.stride)
        header.pointee.slots = UInt32(slots)
        header.pointee.slot_bytes = UInt32(MemoryLayout<flexpage_state_slot>.stride)
        header.pointee.images_offset = UInt64(imagesOffset)
        header.pointee.words_offset = UInt64(wordsOffset)
        header.pointee.slots_offset = UInt64(slotsOffset)
        header.pointee.memory_offset = UInt64(memoryOffset)
    }
}
