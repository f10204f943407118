import CStateFormat
import TestSupport
import Testing

@testable import Paging

/// A section that another server has left may be anything.
@Suite struct KeptDamageTests {
    private func section() throws -> KeptRig.Section {
        let image = HookedImage(size: 1 << 20)
        let rig = try KeptRig(frames: 256, images: [image])
        try rig.write(1, at: 0..<65536)
        _ = try rig.read(65536..<131072)
        return rig.death()
    }

    private func damage(_ change: (UnsafeMutablePointer<flexpage_state_header>, KeptState) -> Void) throws
        -> KeptDamage?
    {
        let section = try section()
        let kept = try KeptState(checking: section.bytes)
        change(kept.header, kept)
        do throws(KeptDamage) {
            _ = try KeptState(checking: section.bytes)
            return nil
        } catch {
            return error
        }
    }

    @Test func headers() throws {
        #expect(try damage { _, _ in } == nil)
        #expect(try damage { header, _ in header.pointee.magic += 1 } == .noState)
        #expect(try damage { header, _ in header.pointee.magic = 0 } == .noState)
        #expect(try damage { header, _ in header.pointee.is_ready = 0 } == .incomplete)
        #expect(try damage { header, _ in header.pointee.version = 2 } == .otherVersion(2))
        #expect(try damage { header, _ in header.pointee.file_bytes += 4096 } == .otherLength)
        #expect(try damage { header, _ in header.pointee.frames = .max } == .otherLayout)
        #expect(try damage { header, _ in header.pointee.frames += 1 } == .otherLayout)
        #expect(try damage { header, _ in header.pointee.words_offset = 1 << 40 } == .otherLayout)
        #expect(try damage { header, _ in header.pointee.slots = 1 << 30 } == .otherLayout)
    }

    @Test func records() throws {
        #expect(try damage { _, kept in kept.image(0).record.pointee.in_use = 2 } == .badImage(0))
        #expect(try damage { _, kept in kept.image(0).record.pointee.size = -1 } == .badImage(0))
        #expect(try damage { _, kept in kept.image(0).record.pointee.path_bytes = 4000 } == .badImage(0))
    }

    @Test func words() throws {
        let frame = 200
        #expect(try damage { _, kept in kept[frame] = KeptWord(1) } == .badFrame(frame), "not live, and not empty")
        #expect(
            try damage { _, kept in kept[frame] = KeptWord(1 << 63 | 1 << 48) } == .badFrame(frame), "no such image")
        #expect(try damage { _, kept in kept[frame] = KeptWord(1 << 63 | 256) } == .badFrame(frame), "past the end")
        #expect(try damage { _, kept in kept[frame] = KeptWord(1 << 63 | 255) } == nil)
    }

    /// Truncated files, and bits that have flipped: refused, or taken over without harm.
    @Test func anything() throws {
        var random = SplitMix64(seed: 5)
        let original = try section()
        for round in 0..<300 {
            let section = KeptRig.Section(copying: original)
            let count = round % 7 == 0 ? Int(random.next() % UInt64(section.bytes.count)) : section.bytes.count
            let reach = round % 3 == 0 ? 112 : Int(KeptLayout(frames: 256).memoryOffset)
            for _ in 0..<Int(random.next() % 4) {
                section.bytes[Int(random.next() % UInt64(reach))] ^= UInt8(1) << UInt8(random.next() % 8)
            }
            let image = HookedImage(size: 1 << 20)
            guard (try? KeptState(checking: UnsafeMutableRawBufferPointer(rebasing: section.bytes[0..<count]))) != nil,
                count == section.bytes.count,
                let next = try? KeptRig(
                    after: section, images: Array(repeating: image, count: KeptLayout(frames: 256).images))
            else { continue }
            next.pages.checkInvariants(isQuiet: true)
        }
    }
}
