import CStateFormat
import Glibc
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import Accessors
@testable import Paging

/// Images that rest from the beginning, because all that is known of them is what a dead server has left.
@Suite("Images that are inherited", .enabled(if: StateRig.isAvailable, "\(StateRig.needs)"))
struct InheritedImageTests {
    private let scratch = Scratch()
    private let rig: StateRig

    init() throws { rig = try StateRig() }

    private var record: KeptImage { rig.state.image(0) }

    private func open(_ path: FilePath) throws -> ImageFile {
        try ImageFile(at: try ImageDirectory.ofProcess().place(at: path), mark: rig.mark)
    }

    /// A server that has written to the image, and whose last client has left.
    private func serve(_ path: FilePath) throws {
        let image = try rig.open(path)
        try image.beginWriting()
        try image.writeOut(PageMemory([UInt8](repeating: 1, count: 4096)), at: 0)
        image.endWriting()
    }

    /// It takes no file to have it. The first client's file becomes its own, and what is cached is good for that
    /// client. From then on it rests and wakes like any other image.
    @Test func unchanged() throws {
        let folder = scratch("folder")
        mkdir(folder.string, 0o755)
        let path = folder.appending("image")
        write(pattern(8192), to: path)
        try serve(path)
        try rig.takeOver()
        // Nothing has its path. A rename of the file itself would change its times.
        rename(folder.string, scratch("away").string)
        let image = try #require(InheritedImage(record))
        #expect(image.size == 8192 && image.label == path.string && image.descriptors.isEmpty)
        #expect(!image.isWritable && image.readOnlyReason == nil)
        rename(scratch("away").string, folder.string)
        for round in 0..<3 {
            let file = try open(path)
            #expect(file.identity == image.identity)
            try #require(image.wake(with: file))
            #expect(image.isWritable && !image.descriptors.isEmpty)
            var forgets = false
            image.beginReading { forgets = true }
            try image.beginWriting { forgets = true }
            #expect(!forgets)
            let memory = PageMemory([UInt8](repeating: UInt8(round + 5), count: 4096))
            try withExtendedLifetime(memory) { try image.writeOut(memory.all, at: 4096) }
            try image.makeDurable()
            #expect(record.record.pointee.writes_begun == UInt64(round + 1))
            #expect(image.isStampDue)
            image.endWriting()
            #expect(record.isStampProof && !image.isStampDue)
            image.rest()
            #expect(image.descriptors.isEmpty)
            #expect(contents(of: path)[4096] == UInt8(round + 5))
        }
    }

    /// A server that dies before any client has come leaves the same record to the next one.
    @Test func inheritedAgain() throws {
        let path = scratch.file(pattern(8192))
        try serve(path)
        for _ in 0..<3 {
            try rig.takeOver()
            #expect(InheritedImage(record) != nil)
        }
        #expect(try #require(InheritedImage(record)).wake(with: try open(path)))
    }

    /// Whatever others have done to the file, the first client finds out.
    @Test(arguments: ["write", "longer", "shorter", "chmod", "locked"]) func changed(change: String) throws {
        let path = scratch.file(pattern(8192))
        try serve(path)
        try rig.takeOver()
        let image = try #require(InheritedImage(record))
        var other: ImageFile?
        switch change {
        case "write": try Files.write([1], to: path.string)
        case "longer": truncate(path, to: 8193)
        case "shorter": truncate(path, to: 8191)
        case "chmod": chmod(path.string, 0o600)
        default:
            other = try ImageFile(path: path)
            try other?.beginWriting()
        }
        #expect(!image.wake(with: try open(path)))
        other?.endWriting()
        #expect(image.descriptors.isEmpty)
    }

    /// A record that proves nothing is none to rest from.
    @Test func unproved() throws {
        let path = scratch.file(pattern(8192))
        try serve(path)
        #expect(InheritedImage(record) != nil)
        let before = record.record.pointee
        func expectNone(_ change: (inout flexpage_state_image) -> Void, at place: SourceLocation = #_sourceLocation) {
            record.record.pointee = before
            change(&record.record.pointee)
            #expect(InheritedImage(record) == nil, sourceLocation: place)
        }
        expectNone { $0.is_stamped = 0 }
        expectNone { $0.writes_begun += 1 }
        expectNone { $0.is_block_device = 1 }
        expectNone { $0.birth = 0 }
    }
}
