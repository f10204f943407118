import CStateFormat
import Glibc

/// What is wrong with a section that another server has left. Every index, key, count and range in it is checked before
/// it is used: the file may be anything.
public enum KeptDamage: Error, Equatable, Sendable {
    /// It is too short, or begins with other bytes.
    case noState
    /// It has another version: this one.
    case otherVersion(Int)
    /// Its server died before it was complete. There is nothing in it.
    case incomplete
    /// The file is not as long as it says.
    case otherLength
    /// Its parts do not lie where they must.
    case otherLayout
    /// The record of this image says what cannot be.
    case badImage(Int)
    /// The word of this frame says what cannot be.
    case badFrame(Int)
    /// This frame has another version of a base page that another frame has too.
    case twoVersions(Int)

    /// A sentence for a person.
    public var text: String {
        switch self {
        case .noState: "it is not a state file"
        case .otherVersion(let version): "it has version \(version), and this release knows version 1"
        case .incomplete: "it was never completed, and holds nothing"
        case .otherLength: "it is not as long as it says"
        case .otherLayout: "its parts do not lie where they must"
        case .badImage(let number): "its record of image \(number) is damaged"
        case .badFrame(let number): "its word of frame \(number) is damaged"
        case .twoVersions(let number): "frame \(number) has another version of a page that another frame has"
        }
    }

    /// Checks all of a section, in O(images + frames). It reads nothing outside of `mapping`, and changes nothing.
    static func check(_ mapping: UnsafeMutableRawBufferPointer) throws(KeptDamage) {
        let header = try checkedHeader(mapping)
        let base = mapping.baseAddress!
        for number in 0..<Int(header.images) {
            let image = KeptImage(at: base + Int(header.images_offset) + number * Int(header.image_bytes))
            guard image.isSound else { throw .badImage(number) }
        }
        let words = (base + Int(header.words_offset)).assumingMemoryBound(to: UInt64.self)
        for frame in 0..<Int(header.frames) {
            let word = KeptWord(words[frame])
            guard word.isSound(images: Int(header.images)) else { throw .badFrame(frame) }
            guard word.isLive else { continue }
            let image = KeptImage(at: base + Int(header.images_offset) + word.image * Int(header.image_bytes))
            guard image.isInUse, word.page < BasePage.numbers(covering: 0..<max(image.size, 1)).upperBound else {
                throw .badFrame(frame)
            }
        }
        try checkVersions(words, base + Int(header.memory_offset), frames: Int(header.frames))
    }

    /// A server that dies while it moves a page leaves it in two frames, with the same bytes. `TakeOver` meets them as
    /// well, but could not refuse two versions any more.
    private static func checkVersions(
        _ words: UnsafeMutablePointer<UInt64>, _ memory: UnsafeMutableRawPointer, frames: Int
    ) throws(KeptDamage) {
        let first = FirstFrames(frames: frames)
        for frame in 0..<frames where KeptWord(words[frame]).isLive {
            guard let other = first.enter(frame, { KeptWord(words[$0]).key.raw }) else { continue }
            guard memcmp(memory + other * BasePage.size, memory + frame * BasePage.size, BasePage.size) == 0 else {
                throw .twoVersions(frame)
            }
        }
    }

    private static func checkedHeader(
        _ mapping: UnsafeMutableRawBufferPointer
    ) throws(KeptDamage) -> flexpage_state_header {
        guard mapping.count >= BasePage.size, let base = mapping.baseAddress else { throw .noState }
        let header = base.loadUnaligned(as: flexpage_state_header.self)
        guard header.magic == FLEXPAGE_STATE_MAGIC else { throw .noState }
        guard header.version == UInt32(FLEXPAGE_STATE_VERSION) else { throw .otherVersion(Int(header.version)) }
        guard header.is_ready == 1 else { throw .incomplete }
        guard header.file_bytes == UInt64(mapping.count) else { throw .otherLength }
        let maxFrames = UInt64(mapping.count / BasePage.size)
        guard header.frames > 0, header.frames < maxFrames else { throw .otherLayout }
        let layout = KeptLayout(frames: Int(header.frames))
        guard layout.agrees(with: header), layout.bytes <= mapping.count else { throw .otherLayout }
        return header
    }
}
