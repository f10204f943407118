import CStateFormat
import Glibc
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import Accessors
@testable import Paging

/// What an image leaves to the next server, and what that makes of it.
@Suite("Images that are kept", .enabled(if: StateRig.isAvailable, "\(StateRig.needs)"))
struct KeepingTests {
    private let scratch = Scratch()
    private let rig: StateRig

    init() throws { rig = try StateRig() }

    private var record: UnsafeMutablePointer<flexpage_state_image> { rig.state.image(0).record }

    private func page(_ byte: UInt8) -> PageMemory { PageMemory([UInt8](repeating: byte, count: 4096)) }

    /// Begins to write and is stamped, which takes two looks some time apart.
    private func settle(_ image: ImageFile) {
        image.noteStamp()
        usleep(30_000)
        image.noteStamp()
    }

    private func judge(_ image: ImageFile) -> KeptJudgement {
        image.judge(rig.state.image(0), alive: rig.state.header.pointee.alive)
    }

    /// The record names the file and its state.
    @Test func files() throws {
        let path = scratch.file(pattern(10_000))
        let link = scratch("link")
        symlink(path.string, link.string)
        let image = try rig.open(link)
        #expect(rig.state.image(0).path == path.string)
        #expect(rig.state.image(0).identity == image.identity)
        #expect(record.pointee.inode == status(of: path).st_ino && record.pointee.is_block_device == 0)
        #expect(rig.state.image(0).size == 10_000)
        #expect(record.pointee.is_stamped == 0, "nobody has read or written it")
        try image.beginWriting()
        #expect(record.pointee.is_stamped == 1 && record.pointee.stamp_size == 10_000)
        image.endWriting()
    }

    @Test(.enabled(if: Machine.canLoop, "no loop devices here")) func devices() throws {
        let device = try LoopDevice(size: 1 << 20)
        let image = try rig.open(device.node)
        #expect(rig.state.image(0).path == device.path)
        #expect(record.pointee.is_block_device == 1 && record.pointee.inode == 0)
        #expect(record.pointee.disk_sequence > 0)
        try image.beginWriting()
        image.endWriting()
        #expect(record.pointee.is_stamped == 0)
        let again = try LoopDevice(size: 1 << 20)
        let other = try rig.open(again.node, as: 1)
        #expect(rig.state.image(1).record.pointee.disk_sequence != record.pointee.disk_sequence)
        withExtendedLifetime(other) {}
    }

    /// Every call that changes the image is counted, whether it succeeds or fails. Others are not.
    @Test func counts() throws {
        let image = try rig.open(scratch.file(pattern(1 << 20)))
        try image.beginWriting()
        defer { image.endWriting() }
        func expect(_ calls: UInt64, at place: SourceLocation = #_sourceLocation) {
            #expect(record.pointee.writes_begun == calls, sourceLocation: place)
            #expect(record.pointee.writes_ended == calls, sourceLocation: place)
        }
        expect(0)
        try image.writeOut(page(1), at: 0)
        expect(1)
        try image.zero(4096..<8192, mayTrim: false, onlyIfFast: false)
        expect(2)
        try? image.trim(8192..<12288)
        expect(3)
        let memory = page(2)
        var writes = [WriteOut(memory.all, at: 16384), WriteOut(memory.all, at: 65536)]
        writes.withUnsafeMutableBufferPointer { image.writeOut($0) }
        #expect(record.pointee.writes_begun >= 4)
        let count = record.pointee.writes_begun
        try image.makeDurable()
        _ = try image.allBytes()
        try image.extents(of: 0..<4096) { _ in true }
        expect(count)
        #expect(throws: AccessError.self) { try image.zero(0..<1 << 40, mayTrim: false, onlyIfFast: false) }
        expect(count)
    }

    /// A stamp is taken once no write has begun for some time, and not while one is under way.
    @Test func stamps() throws {
        let path = scratch.file(pattern(65536))
        let image = try rig.open(path)
        try image.beginWriting()
        defer { image.endWriting() }
        let first = record.pointee.stamp_modified
        #expect(record.pointee.writes_when_stamped == 0)
        try image.writeOut(page(1), at: 0)
        image.noteStamp()
        #expect(record.pointee.writes_when_stamped == 0, "it has just been written")
        image.noteStamp()
        #expect(record.pointee.writes_when_stamped == 0, "the times may not have settled")
        usleep(30_000)
        try image.writeOut(page(2), at: 0)
        image.noteStamp()
        #expect(record.pointee.writes_when_stamped == 0, "it has just been written again")
        settle(image)
        #expect(record.pointee.writes_when_stamped == 2)
        #expect(record.pointee.stamp_modified > first)
        record.pointee.writes_begun += 1
        settle(image)
        #expect(record.pointee.writes_when_stamped == 2, "a write is under way")
        record.pointee.writes_ended += 1
        settle(image)
        #expect(record.pointee.writes_when_stamped == 3)
    }

    /// Stamps and writes of several threads: the record never says that nothing was written since, if something was.
    @Test func stampsBesideWrites() throws {
        let path = scratch.file(pattern(65536))
        let image = try rig.open(path)
        try image.beginWriting()
        let writers = (0..<3).map { index in
            Worker {
                for round in 0..<60 {
                    try image.writeOut(page(UInt8(round)), at: Int64(index) * 4096)
                    if round % 10 == 0 { usleep(25_000) }
                }
            }
        }
        for writer in writers { writer.start() }
        for _ in 0..<200 {
            image.noteStamp()
            usleep(1000)
        }
        for writer in writers { try writer.join() }
        settle(image)
        settle(image)
        #expect(record.pointee.writes_begun == 180 && record.pointee.writes_when_stamped == 180)
        #expect(Int64(status(of: path).st_mtim.tv_sec) == record.pointee.stamp_modified / 1_000_000_000)
        image.endWriting()
    }

    // MARK: The next server

    /// What a writer left is good for the next server, whether it was stamped or not, and its first client does not
    /// have it forgotten.
    @Test(arguments: ["ended", "stamped", "written"]) func taken(end: String) throws {
        let path = scratch.file(pattern(8192))
        do {
            let image = try rig.open(path)
            try image.beginWriting()
            try image.writeOut(page(1), at: 0)
            if end == "stamped" { settle(image) }
            if end == "ended" { image.endWriting() }
            rig.state.noteAlive()
        }
        for round in 0..<3 {
            try rig.takeOver()
            let image = try ImageFile(path: path, mark: rig.mark)
            #expect(judge(image) == .same)
            image.keep(in: rig.state.image(0))
            #expect(record.pointee.writes_begun == 0 && record.pointee.is_stamped == 1)
            var forgets = false
            image.beginReading { forgets = true }
            try image.beginWriting { forgets = true }
            #expect(!forgets)
            try image.writeOut(page(UInt8(round)), at: 4096)
            image.endWriting()
        }
    }

    /// So is what was read while nobody wrote.
    @Test func read() throws {
        let path = scratch.file(pattern(8192))
        do { try rig.open(path).beginReading() }
        try rig.takeOver()
        let image = try ImageFile(path: path, readOnly: true, mark: rig.mark)
        #expect(judge(image) == .same)
        var forgets = false
        image.keep(in: rig.state.image(0))
        image.beginReading { forgets = true }
        #expect(!forgets)
    }

    /// What was read while another program wrote may be stale.
    @Test func readBesideAWriter() throws {
        let path = scratch.file(pattern(8192))
        let other = try ImageFile(path: path)
        try other.beginWriting()
        do {
            let image = try rig.open(path)
            image.beginReading()
            #expect(record.pointee.is_stamped == 0)
        }
        guard case .changed = judge(try ImageFile(path: path, mark: rig.mark)) else {
            throw Trouble("it is being written")
        }
        other.endWriting()
        guard case .untold = judge(try ImageFile(path: path, mark: rig.mark)) else { throw Trouble("it was written") }
    }

    /// Whatever others do to the file shows.
    @Test(arguments: ["write", "same times", "longer", "replaced", "chmod"]) func changed(change: String) throws {
        let path = scratch.file(pattern(8192))
        do {
            let image = try rig.open(path)
            try image.beginWriting()
            try image.writeOut(page(1), at: 0)
            image.endWriting()
        }
        let times = [status(of: path).st_atim, status(of: path).st_mtim]
        switch change {
        case "write", "same times":
            try Files.write([1], to: path.string)
            if change == "same times" { utimensat(AT_FDCWD, path.string, times, 0) }
        case "longer": truncate(path, to: 8193)
        case "chmod": chmod(path.string, 0o600)
        default:
            let new = scratch.file(pattern(8192), named: "new")
            rename(new.string, path.string)
        }
        try rig.takeOver()
        switch judge(try ImageFile(path: path, mark: rig.mark)) {
        case .changed: #expect(["write", "same times", "chmod"].contains(change))
        case .other: #expect(["longer", "replaced"].contains(change))
        default: Issue.record("it has changed")
        }
    }

    /// An image that others changed while nobody here had it open is judged by what it was when it was opened again.
    @Test func changedBetweenClients() throws {
        let path = scratch.file(pattern(8192))
        do {
            let image = try rig.open(path)
            image.beginReading()
            usleep(30_000)
            try Files.write([1], to: path.string)
            usleep(30_000)
            var forgets = false
            try image.beginWriting { forgets = true }
            #expect(forgets)
        }
        try rig.takeOver()
        #expect(judge(try ImageFile(path: path, mark: rig.mark)) == .same)
    }

    /// An image that has been renamed while it rested is found by its new name.
    @Test func renamed() throws {
        let path = scratch.file(pattern(8192))
        let new = scratch("new")
        func open(_ path: FilePath) throws -> ImageFile {
            try ImageFile(at: try ImageDirectory.ofProcess().place(at: path), mark: rig.mark)
        }
        rename(path.string, new.string)
        let image = try open(new)
        rig.state.image(0).begin(image)
        image.beginReading()
        image.rest()
        symlink(new.string, path.string)
        #expect(image.wake(with: try open(path)))
        #expect(rig.state.image(0).path == new.string)
    }

    /// A server whose last write was late is not taken for somebody else: it was alive as long as its marks were there.
    @Test func lateWrites() throws {
        let path = scratch.file(pattern(8192))
        let copy: FileDescriptor
        do {
            let image = try rig.open(path)
            try image.beginWriting()
            try image.writeOut(page(1), at: 0)
            // A description that the kernel still uses.
            copy = try FileDescriptor(rawValue: image.descriptors[0]).duplicate()
            rig.state.header.pointee.alive = KeptState.now - 10_000_000_000
        }
        let release = Worker {
            usleep(1_500_000)
            try copy.close()
        }
        release.start()
        var lines: [String] = []
        try rig.takeOver { lines.append($0) }
        try release.join()
        #expect(lines.count == 1 && lines[0].contains(path.string) && lines[0].hasSuffix("waiting for 1 s"))
        #expect(KeptState.now - rig.state.header.pointee.alive < 1_000_000_000)
        #expect(judge(try ImageFile(path: path, mark: rig.mark)) == .same)
    }
}
