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
        _ = image.noteStamp()
        usleep(30_000)
        _ = image.noteStamp()
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
        #expect(!image.noteStamp(), "it has just been written")
        #expect(!image.noteStamp(), "the times may not have settled")
        usleep(30_000)
        try image.writeOut(page(2), at: 0)
        #expect(!image.noteStamp(), "it has just been written again")
        #expect(record.pointee.writes_when_stamped == 0)
        usleep(30_000)
        #expect(image.noteStamp() && record.pointee.writes_when_stamped == 2)
        #expect(!image.noteStamp(), "nothing is new")
        #expect(record.pointee.stamp_modified > first)
        record.pointee.writes_begun += 1
        settle(image)
        #expect(record.pointee.writes_when_stamped == 2, "a write is under way")
        record.pointee.writes_ended += 1
        settle(image)
        #expect(record.pointee.writes_when_stamped == 3)
    }

    /// A stamp is due after a call that changed the image has ended, until it has been taken, and while there are
    /// writers.
    @Test(arguments: [false, true]) func dueStamps(atLast: Bool) throws {
        let path = scratch.file(pattern(65536))
        let image = try rig.open(path)
        #expect(!image.isStampDue)
        try image.beginWriting()
        #expect(!image.isStampDue, "it has just been stamped")
        try image.writeOut(page(1), at: 0)
        #expect(image.isStampDue)
        record.pointee.writes_begun += 1
        #expect(!image.isStampDue, "a write is under way")
        if atLast { image.noteLastStamp() } else { settle(image) }
        #expect(record.pointee.writes_when_stamped == 0)
        record.pointee.writes_ended += 1
        #expect(image.isStampDue)
        if atLast { image.noteLastStamp() } else { settle(image) }
        #expect(!image.isStampDue && record.pointee.writes_when_stamped == 2)
        #expect(Int64(status(of: path).st_mtim.tv_nsec) == record.pointee.stamp_modified % 1_000_000_000)
        image.endWriting()
        #expect(!image.isStampDue)
    }

    /// An image that cannot be stamped is looked at once after each change, and not for ever.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here")) func unstampable() throws {
        let device = try LoopDevice(size: 1 << 20)
        let image = try rig.open(device.node)
        try image.beginWriting()
        for _ in 0..<2 {
            try image.writeOut(page(1), at: 0)
            #expect(image.isStampDue)
            settle(image)
            #expect(!image.isStampDue && record.pointee.is_stamped == 0)
        }
        image.endWriting()
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
            _ = image.noteStamp()
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

    /// A change soon after the death of a server whose image was idle shows, and so does one after its end.
    @Test(arguments: [false, true]) func changedAtOnce(atEnd: Bool) throws {
        let path = scratch.file(pattern(8192))
        do {
            let image = try rig.open(path)
            try image.beginWriting()
            try image.writeOut(page(1), at: 0)
            if atEnd { image.noteLastStamp() } else { settle(image) }
        }
        usleep(20_000)
        try Files.write([1], to: path.string)
        rig.state.noteAlive()
        try rig.takeOver()
        guard case .changed = judge(try ImageFile(path: path, mark: rig.mark)) else { throw Trouble("it has changed") }
    }

    /// Whatever others do to the file shows.
    @Test(arguments: ["write", "same times", "shorter", "replaced", "chmod"]) func changed(change: String) throws {
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
        case "shorter": truncate(path, to: 8191)
        case "chmod": chmod(path.string, 0o600)
        default:
            let new = scratch.file(pattern(8192), named: "new")
            rename(new.string, path.string)
        }
        try rig.takeOver()
        switch judge(try ImageFile(path: path, mark: rig.mark)) {
        case .changed: #expect(["write", "same times", "chmod", "shorter"].contains(change))
        case .other: #expect(change == "replaced")
        default: Issue.record("it has changed")
        }
    }

    /// A file that has grown while the server was alive may have what it is owed; one that has grown later, or lost its
    /// end, only if a person says so. What is owed beyond the end cannot go there.
    @Test func anotherSize() throws {
        let path = scratch.file(pattern(8192))
        do {
            let image = try rig.open(path)
            try image.beginWriting()
            try image.writeOut(page(1), at: 0)
        }
        truncate(path, to: 10_000)
        rig.state.noteAlive()
        try rig.takeOver()
        func judgement(owedEnd: Int64) throws -> KeptJudgement {
            try ImageFile(path: path, mark: rig.mark).judge(
                rig.state.image(0), owedEnd: owedEnd, alive: rig.state.alive)
        }
        guard case .untold(let grown) = try judgement(owedEnd: 8192) else { throw Trouble("it has grown in time") }
        #expect(grown.contains("from 8192 to 10000 bytes"))
        rig.state.header.pointee.alive -= 5_000_000_000
        guard case .changed = try judgement(owedEnd: 8192) else { throw Trouble("it has grown later") }
        truncate(path, to: 5000)
        guard case .changed = try judgement(owedEnd: 5000) else { throw Trouble("it has lost its end") }
        guard case .other(let shorter) = try judgement(owedEnd: 5001) else { throw Trouble("it is too short") }
        #expect(shorter.contains("8192") && shorter.contains("5000"))
    }

    /// The end of an image that has grown, within a page that is owed, is what others have put there.
    @Test(arguments: [false, true]) func adoptedSize(isOwed: Bool) throws {
        let path = scratch.file(pattern(10_000))
        let image = try rig.open(path)
        let kept = pattern(10_000)[8192...] + [UInt8](repeating: 0, count: 12_288 - 10_000)
        if isOwed {
            rig.owe(Array(kept), page: 2, frame: 3)
            rig.owe(Array(kept), page: 2, frame: 5)
        }
        rig.owe(pattern(4096, salt: 8), page: 0, frame: 4)
        try Files.write([UInt8](repeating: 7, count: 5000), to: path.string, at: 10_000)
        let grown = try ImageFile(path: path, mark: rig.mark)
        try grown.adoptSize(in: rig.state, of: 0)
        #expect(rig.state.image(0).size == 15_000)
        #expect(rig.words == (isOwed ? ["3: 0 2 owed", "4: 0 0 owed"] : ["4: 0 0 owed"]))
        let frames = UnsafeRawBufferPointer(start: rig.state.memory(ofFrame: 3), count: 8192)
        if isOwed { expectSame(Array(frames[0..<4096]), contents(of: path)[8192..<12_288]) }
        expectSame(Array(frames[4096...]), pattern(4096, salt: 8))
        withExtendedLifetime(image) {}
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
        try takeOver(path, after: 1) { try copy.close() }
    }

    /// A server that was killed in a call that goes on keeps its lock as long. It is waited for, and what the call
    /// changes last is its own.
    @Test func lateCalls() throws {
        let path = scratch.file(pattern(8192))
        let copies: [FileDescriptor]
        do {
            let image = try rig.open(path)
            try image.beginWriting()
            try image.writeOut(page(1), at: 0)
            rig.state.header.pointee.alive = KeptState.now - 10_000_000_000
            // A call of the kernel keeps all files of its process.
            copies = try (image.descriptors + [rig.file.number]).map { try FileDescriptor(rawValue: $0).duplicate() }
        }
        try takeOver(path, after: 2) {
            try Files.write([1], to: path.string)
            for copy in copies { try copy.close() }
        }
    }

    /// Another server waits until `release` has been called, says so after some seconds, and judges that the image is
    /// as the dead one has left it.
    private func takeOver(_ path: FilePath, after seconds: Int, _ release: @escaping () throws -> Void) throws {
        let begin = KeptState.now
        let lines = Guarded<[String]>([])
        let releaser = Worker {
            let wait = Result {
                try Patience.wait(seconds: 60, "no line says what is waited for") {
                    lines.withLock { $0.isEmpty } ? nil : ()
                }
            }
            try release()
            try wait.get()
        }
        releaser.start()
        try rig.takeOver { line in lines.withLock { $0.append(line) } }
        try releaser.join()
        let said = lines.withLock { $0 }
        // A busy machine may take seconds for one.
        let expected = (seconds...seconds + 60).map { MarkRest.line(for: [path.string], seconds: $0) }
        #expect(said.allSatisfy(expected.contains) && Set(said).count == said.count, "\(said)")
        #expect(rig.state.alive > begin)
        #expect(judge(try ImageFile(path: path, mark: rig.mark)) == .same)
    }

    /// A process gives up its files one after the other. One that has given up its images is not alive.
    @Test func lateFile() throws {
        let path = scratch.file(pattern(8192))
        let (copies, state): ([FileDescriptor], FileDescriptor)
        do {
            let image = try rig.open(path)
            try image.beginWriting()
            copies = try image.descriptors.map { try FileDescriptor(rawValue: $0).duplicate() }
            state = try FileDescriptor(rawValue: rig.file.number).duplicate()
        }
        try takeOver(path, after: 2) {
            for copy in copies { try copy.close() }
            usleep(1_200_000)
            try state.close()
        }
    }

    /// A server that is alive keeps the file, though its images have its mark.
    @Test func aliveAndMarked() throws {
        let image = try rig.open(scratch.file(pattern(8192)))
        let isOver = Guarded(false)
        let server = Worker { [rig] in
            while !isOver.withLock({ $0 }) {
                rig.state.noteAlive()
                usleep(10_000)
            }
        }
        server.start()
        #expect(throws: StateError(rig.path, .held(by: nil))) { try StateFile(rig.path, create: false) }
        isOver.withLock { $0 = true }
        try server.join()
        withExtendedLifetime(image) {}
    }
}
