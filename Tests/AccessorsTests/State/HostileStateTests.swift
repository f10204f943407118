import CStateFormat
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Accessors
@testable import Paging

/// State files that may hold anything, and real images.
@Suite("Hostile state files", .enabled(if: StateRig.isAvailable, "\(StateRig.needs)"))
struct HostileStateTests {
    private let scratch = Scratch()
    private let rig: StateRig

    init() throws { rig = try StateRig() }

    /// Whatever bits flip: the file is refused with a sentence, or written out. The image keeps its size and the bytes
    /// of pages that no frame names; no other file appears, and none that is there changes.
    @Test func flippedBits() throws {
        let size = 300_001
        let path = scratch.file(pattern(size))
        let other = scratch.file(pattern(size, salt: 8), named: "other")
        do {
            let image = try rig.open(path)
            try image.beginWriting()
            for frame in 0..<60 { rig.owe(pattern(4096, salt: frame * 8), page: frame, frame: frame) }
            rig.state.noteAlive()
        }
        rig.close()
        let sound = contents(of: rig.path)
        var random = SplitMix64(seed: 15)
        var counts = (refused: 0, written: 0)
        for round in 0..<(Soak.isOn ? 3000 : 150) {
            var bytes = sound
            // The header, the first record, words and slots: what lies before the frames.
            let reach = [112, 4096 + 1024, 32 << 10][round % 3]
            for _ in 0...Int(random.next() % 3) {
                bytes[Int(random.next() % UInt64(reach))] ^= 1 << UInt8(random.next() % 8)
            }
            if round % 10 == 0 { bytes.removeLast(Int(random.next() % UInt64(bytes.count))) }
            try Files.write(bytes, to: rig.path.string)
            truncate(rig.path, to: Int64(bytes.count))
            if try writeOut() { counts.written += 1 } else { counts.refused += 1 }
            let image = contents(of: path)
            #expect(image.count == size)
            expectSame(image[60 * 4096..<size], pattern(size)[60 * 4096..<size])
            expectSame(contents(of: other), pattern(size, salt: 8))
            #expect(try Files.names(scratch.directory).count == 2)
        }
        #expect(counts.refused > 10 && counts.written > 10)
    }

    /// - Returns: False if the file was refused.
    private func writeOut() throws -> Bool {
        let file = try StateFile(rig.path, create: false)
        do throws(StateError) {
            guard let state = try file.look() else { return false }
            let mark = try file.takeCharge(of: state) { _ in }
            for outcome in StateWriteOut(state, mark).run(evenIfChanged: true) {
                #expect((outcome.failure == nil) == (outcome.owedPages == 0))
            }
            return true
        } catch {
            #expect(error.description.split(separator: ";").count >= 2 && !error.description.contains("\n"))
            return false
        }
    }

    /// Records whose fields say what cannot be are refused by their numbers.
    @Test func records() throws {
        try expectBadRecord { $0.pointee.in_use = 2 }
        try expectBadRecord { $0.pointee.is_block_device = 2 }
        try expectBadRecord { $0.pointee.is_stamped = 2 }
        try expectBadRecord { $0.pointee.size = -1 }
        try expectBadRecord { $0.pointee.size = .max }
        try expectBadRecord { $0.pointee.reserved = 1 }
        try expectBadRecord { $0.pointee.is_syncing = 2 }
        try expectBadRecord { $0.pointee.sync_failures = 1 }
        try expectBadRecord { $0.pointee.path_bytes = .max }
        for path in ["image", "./image", "/a\0b"] {
            try expectBadRecord { _ in rig.state.image(3).setPath(path) }
        }
        try expectBadRecord {
            rig.state.image(3).setPath("/image")
            withUnsafeMutableBytes(of: &$0.pointee.path) { $0[2] = 0xFF }
        }
    }

    private func expectBadRecord(
        _ change: (UnsafeMutablePointer<flexpage_state_image>) -> Void, at place: SourceLocation = #_sourceLocation
    ) throws {
        let record = rig.state.image(3).record
        record.pointee = flexpage_state_image()
        record.pointee.in_use = 1
        #expect(throws: Never.self, sourceLocation: place) { try check() }
        change(record)
        #expect(throws: KeptDamage.badImage(3), sourceLocation: place) { try check() }
        record.pointee = flexpage_state_image()
    }

    private func check() throws(KeptDamage) {
        let bytes = Int(rig.state.header.pointee.file_bytes)
        _ = try KeptState(
            checking: UnsafeMutableRawBufferPointer(start: UnsafeMutableRawPointer(rig.state.header), count: bytes))
    }
}
