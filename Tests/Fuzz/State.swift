// A state file that another server has left, with any bytes changed and any length. It is refused, or all that is done
// with it stays inside of it and inside of the images: nothing traps, and a refusal has changed nothing.
import CStateFormat
import Glibc

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    var input = Input(UnsafeBufferPointer(start: data, count: count))
    let size = SoundState.size(input)
    let mapping = UnsafeMutableRawBufferPointer.allocate(byteCount: max(size, 1), alignment: BasePage.size)
    defer { mapping.deallocate() }
    let section = UnsafeMutableRawBufferPointer(rebasing: mapping[0..<size])
    memset(section.baseAddress!, 0, size)
    memcpy(section.baseAddress!, SoundState.base, min(size, SoundState.count))
    input.change(section)
    memcpy(SoundState.copy, section.baseAddress!, size)
    guard let state = try? KeptState(checking: section) else {
        precondition(memcmp(section.baseAddress!, SoundState.copy, size) == 0, "what is refused stays as it is")
        return 0
    }
    if input.first & 8 != 0, state.frames == SoundState.frames { takeOver(state) } else { writeOut(state) }
    return 0
}

/// Does with a state what a server with the same layout does: takes it over, and flushes each image.
private func takeOver(_ state: KeptState) {
    let bytes = max(Memory.minBytes, Metadata.bytes(forFrames: state.frames, keptIn: BasePage.size))
    guard let pages = try? Pages(memory: bytes, readahead: 0, kept: state) else { fatalError("there is no memory") }
    let registry = ProviderRegistry(pages: pages)
    let taken = registry.takeOver(state) { (CheckedImage(size: state.image($0).size), false) }
    pages.checkInvariants(isQuiet: true)
    for image in taken { precondition(image.owedPages <= image.provider.heldPages, "what is owed is in memory") }
    precondition(taken.reduce(0) { $0 + $1.provider.heldPages } <= state.frames, "each frame counts once")
    for image in taken {
        try? image.provider.flush()
        try? registry.close(image.provider)
    }
    pages.checkInvariants(isQuiet: true)
}

/// Does with a state what the tool does without a server.
private func writeOut(_ state: KeptState) {
    state.undoWrites()
    precondition(state.frames * BasePage.size < 1 << 20, "the frames lie in the section")
    for number in 0..<state.imageCount where state.image(number).isInUse {
        let image = state.image(number)
        precondition(image.path.isEmpty || image.path.hasPrefix("/"), "a path is absolute")
        precondition(!image.path.utf8.contains(0), "a path is one string")
        let owed = state.owedPages(of: number)
        var last: UInt64?
        for page in owed {
            precondition(last.map { page.page > $0 } ?? true, "each page is owed once")
            last = page.page
            write(state.memory(ofFrame: page.frame), at: page.page, to: image)
        }
        state.settle(owed, of: number)
        precondition(state.owedPages(of: number).isEmpty, "what is durable is owed no more")
        state.dropClean(of: number)
    }
    for frame in 0..<state.frames { precondition(!state[frame].isLive, "each frame belongs to an image") }
}

/// Reads what would go out, and checks where it would go. A page of an image without bytes has nothing to write.
private func write(_ memory: UnsafeMutableRawPointer, at page: UInt64, to image: KeptImage) {
    let (offset, overflow) = Int64(page).multipliedReportingOverflow(by: Int64(BasePage.size))
    precondition(!overflow && offset >= 0 && (offset < image.size || offset == 0), "a page lies in its image")
    let count = Int(min(Int64(BasePage.size), image.size - offset))
    var sum: UInt64 = 0
    for byte in UnsafeRawBufferPointer(start: memory, count: count) { sum &+= UInt64(byte) }
    Sink.value = sum
}

/// An image of which only the size is real. It checks what is written to it.
private final class CheckedImage: Accessor {
    let size: Int64
    let isWritable = true

    init(size: Int64) { self.size = size }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) {}

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) {
        precondition(offset >= 0 && (offset < size || offset == 0), "a page lies in its image")
        var sum: UInt64 = 0
        for piece in pieces {
            for byte in UnsafeRawBufferPointer(start: piece.iov_base, count: piece.iov_len) { sum &+= UInt64(byte) }
        }
        Sink.value = sum
    }

    func makeDurable() {}
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) {}
    func trim(_ range: Range<Int64>) {}
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) { _ = report(Extent(range, .data)) }
}

/// Where sums go, so that the bytes are read.
private enum Sink {
    nonisolated(unsafe) static var value: UInt64 = 0
}

/// A sound state: three images, frames of all kinds, and a write under way.
private enum SoundState {
    static let frames = 64

    /// Bytes.
    static let count = KeptLayout(frames: frames).bytes

    /// Room for a copy of what is checked.
    nonisolated(unsafe) static let copy = UnsafeMutableRawPointer.allocate(
        byteCount: count + 256 * 512, alignment: BasePage.size)

    nonisolated(unsafe) static let base: UnsafeRawPointer = {
        let base = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: BasePage.size)
        memset(base, 0, count)
        let state = KeptState(making: KeptLayout(frames: frames), at: base)
        for (number, size) in [Int64(1 << 40), 4097, 0].enumerated() {
            let record = state.image(number).record
            record.pointee.size = size
            state.image(number).setPath("/images/\(number).img")
            record.pointee.in_use = 1
        }
        let keys = [(0, 7), (0, 8), (1, 1), (2, 0), (0, 1 << 27)] + (0..<32).map { (0, 256 + $0) }
        for (frame, key) in keys.enumerated() {
            memset(state.memory(ofFrame: frame), Int32(frame + 1), BasePage.size)
            state[frame] = KeptWord(PageKey(image: UInt16(key.0), page: UInt64(key.1)), isOwed: frame != 1)
        }
        // A page that was being moved.
        memcpy(state.memory(ofFrame: 60), state.memory(ofFrame: 0), BasePage.size)
        state[60] = state[0]
        let slot = base + Int(state.header.pointee.slots_offset)
        slot.storeBytes(of: FLEXPAGE_STATE_SLOT_ACTIVE | 3, as: UInt64.self)
        return UnsafeRawPointer(base)
    }()

    /// The length of the file: that of the sound state, mostly.
    static func size(_ input: Input) -> Int {
        switch input.first % 8 {
        case 0: max(0, count - Int(input.first) * 512)
        case 1: count + Int(input.first) * 512
        default: count
        }
    }
}

/// The fuzzer's bytes, as changes: an offset, a width, and a value to add, set or flip.
private struct Input {
    private var rest: Slice<UnsafeBufferPointer<UInt8>>
    /// The byte that says how long the file is.
    let first: UInt8

    init(_ bytes: UnsafeBufferPointer<UInt8>) {
        first = bytes.first ?? 2
        rest = bytes.dropFirst()
    }

    private mutating func next() -> UInt64 { rest.popFirst().map { UInt64($0) } ?? 0 }

    /// Most changes hit the tables, at multiples of their fields' sizes.
    mutating func change(_ section: UnsafeMutableRawBufferPointer) {
        while rest.count >= 4 {
            let kind = next()
            let width = 1 << Int(kind & 3)
            let offset = Int(next() | next() << 8) / width * width
            var value: UInt64 = 0
            for index in 0..<width { value |= next() << UInt64(8 * index) }
            guard offset + width <= section.count else { continue }
            for index in 0..<width {
                let byte = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
                switch kind >> 2 & 3 {
                case 0: section[offset + index] = byte
                case 1: section[offset + index] ^= byte
                default: section[offset + index] &+= byte
                }
            }
        }
    }
}
