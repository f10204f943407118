import CStateFormat
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Accessors
@testable import Paging

/// What a dead server owes is brought to the images without a server.
@Suite("Write-outs without a server", .enabled(if: StateRig.isAvailable, "\(StateRig.needs)"))
struct StateWriteOutTests {
    private let scratch = Scratch()
    private let rig: StateRig

    init() throws { rig = try StateRig(frames: 1024) }

    private func page(_ salt: Int) -> [UInt8] { pattern(4096, salt: salt * 8 + 8) }

    /// The server dies after it has opened an image, and written as `body` says.
    private func die(_ path: FilePath, _ body: (ImageFile) throws -> Void = { _ in }) throws {
        let image = try rig.open(path)
        try image.beginWriting()
        try body(image)
        rig.state.noteAlive()
    }

    private func writeOut(evenIfChanged: Bool = false) throws -> [StateWriteOut.Outcome] {
        try rig.takeOver()
        return StateWriteOut(rig.state, rig.mark).run(evenIfChanged: evenIfChanged)
    }

    /// The image gets each page that it is owed, and nothing else; the last page as far as the image goes. Then nothing
    /// is owed, and what was written is clean.
    @Test(arguments: [16 << 10, (4 << 20) + 5, 4 << 20, 4097], [DirectMode.auto, .off])
    func written(size: Int, direct: DirectMode) throws {
        var random = SplitMix64(seed: UInt64(size))
        var wanted = pattern(size)
        let path = scratch.file(wanted)
        try die(path)
        let pages = (size + 4095) / 4096
        // A long run, the last page, and others here and there; in any frames.
        let chosen = Set((0..<min(pages, 600)).filter { _ in random.next() % 8 != 0 } + [pages - 1])
        let frames = (0..<1024).shuffled(using: &random)
        for (index, number) in chosen.enumerated() {
            rig.owe(page(index), page: number, frame: frames[index])
            for byte in 0..<min(4096, size - number * 4096) { wanted[number * 4096 + byte] = page(index)[byte] }
        }
        rig.keep(page(9), page: 0, frame: frames[1023])
        if chosen.contains(0) { rig.state[frames[1023]] = .empty }
        rig.state.header.pointee.short_lives = 3
        let outcomes = try writeOut()
        #expect(outcomes.map { $0.failure } == [nil])
        #expect(outcomes.map { $0.writtenPages } == [chosen.count] && outcomes[0].owedPages == 0)
        expectSame(contents(of: path), wanted)
        #expect(rig.words.allSatisfy { !$0.hasSuffix("owed") })
        #expect(rig.words.count >= chosen.count)
        #expect(rig.state.header.pointee.short_lives == 0)
        #expect(try writeOut().isEmpty)
    }

    /// Several images, of which some are not to be had: the others get what is theirs, and each of these is told of.
    @Test func several() throws {
        let paths = (0..<4).map { scratch.file(pattern(8192), named: "image \($0)") }
        var images: [ImageFile] = []
        for (number, path) in paths.enumerated() {
            images.append(try rig.open(path, as: number))
            rig.owe(page(number), image: number, page: 1, frame: number)
        }
        images = []
        unlink(paths[0].string)
        truncate(paths[1], to: 8191)
        let other = try ImageFile(path: paths[2])
        try other.beginWriting()
        rig.state.header.pointee.short_lives = 3
        let outcomes = try writeOut()
        #expect(outcomes.map { $0.owedPages } == [1, 1, 1, 0])
        #expect(outcomes.map { $0.path } == paths.map { $0.string })
        for (outcome, text) in zip(outcomes, ["no such file", "8191", "another process has it locked"]) {
            #expect(outcome.failure?.contains(text) == true)
            #expect(outcome.failure?.hasPrefix(outcome.path) == true)
        }
        #expect(contents(of: paths[1]) == Array(pattern(8191)))
        expectSame(contents(of: paths[3]), pattern(4096) + page(3))
        #expect(rig.state.header.pointee.short_lives == 3)
        other.endWriting()
        #expect(try writeOut().map { $0.owedPages } == [1, 1, 0])
        expectSame(contents(of: paths[2]), pattern(4096) + page(2))
    }

    /// An image that others have changed gets nothing, unless a person says so. What is clean is dropped then.
    @Test func changed() throws {
        let path = scratch.file(pattern(12288))
        try die(path)
        rig.owe(page(1), page: 1, frame: 5)
        rig.keep(pattern(4096), page: 0, frame: 6)
        rig.state.header.pointee.alive -= 5_000_000_000
        try Files.write([1], to: path.string)
        let changed = contents(of: path)
        let refused = try writeOut()
        #expect(refused.count == 1 && refused[0].failure?.contains("others have changed it") == true)
        #expect(refused[0].owedPages == 1 && rig.words == ["5: 0 1 owed", "6: 0 0"])
        expectSame(contents(of: path), changed)
        // Asking again does not make it better.
        #expect(try writeOut().map { $0.owedPages } == [1])
        #expect(try writeOut(evenIfChanged: true).map { $0.failure } == [nil])
        #expect(rig.words == ["5: 0 1"])
        expectSame(contents(of: path), changed[0..<4096] + page(1) + changed[8192...])
    }

    /// What is kept of images that are owed nothing stays if a stamp can judge it later. It goes if only the time could
    /// that the server was last alive. Such images are not looked at.
    @Test func owedNothing() throws {
        let paths = (0..<3).map { scratch.file(pattern(8192), named: "image \($0)") }
        for (number, path) in paths.enumerated() {
            let image = try rig.open(path, as: number)
            image.beginReading()
            rig.keep(pattern(4096), image: number, page: 0, frame: number)
        }
        usleep(30_000)
        rig.state.image(1).record.pointee.is_stamped = 0
        #expect(try writeOut().isEmpty && rig.words.count == 3, "nothing is written, so no time has moved")
        rig.owe(page(1), image: 2, page: 1, frame: 9)
        #expect(try writeOut().map { $0.failure } == [nil])
        #expect(rig.words == ["0: 0 0", "2: 2 0", "9: 2 1"])
        #expect(try ImageFile(path: paths[0], mark: rig.mark).judge(rig.state.image(0), alive: 0) == .same)
    }

    /// An image that others have made longer since stays changed, although the times that tell it from one that grew
    /// while the server was alive move.
    @Test func longerForGood() throws {
        let paths = (0..<2).map { scratch.file(pattern(8192), named: "image \($0)") }
        for (number, path) in paths.enumerated() {
            try rig.open(path, as: number).beginWriting()
            rig.owe(page(number), image: number, page: 1, frame: number)
        }
        rig.state.header.pointee.alive = KeptState.now
        usleep(1_100_000)
        try Files.write([1], to: paths[1].string, at: 8192)
        #expect(try writeOut().map { $0.owedPages } == [0, 1])
        #expect(try writeOut().map { $0.isChanged } == [true])
        expectSame(contents(of: paths[1]), pattern(8192) + [1])
    }

    /// What others have changed stays changed, even if another image is written out meanwhile. An image that could not
    /// be had is judged as before once it can.
    @Test func changedForGood() throws {
        let paths = (0..<3).map { scratch.file(pattern(8192), named: "image \($0)") }
        var images: [ImageFile] = []
        for (number, path) in paths.enumerated() {
            let image = try rig.open(path, as: number)
            try image.beginWriting()
            try image.writeOut(PageMemory(page(3)), at: 0)
            images.append(image)
            rig.owe(page(number), image: number, page: 1, frame: number)
        }
        images = []
        rig.state.header.pointee.alive = KeptState.now
        usleep(1_100_000)
        try Files.write([1], to: paths[1].string)
        let other = try ImageFile(path: paths[2])
        try other.beginWriting()
        let alive = rig.state.header.pointee.alive
        #expect(try writeOut().map { $0.owedPages } == [0, 1, 1])
        #expect(rig.state.header.pointee.alive == alive, "an image is missing, and has not been judged")
        other.endWriting()
        #expect(try writeOut().map { $0.isChanged } == [true, false])
        #expect(try writeOut().map { $0.isChanged } == [true])
        #expect(rig.state.header.pointee.alive > alive)
        expectSame(contents(of: paths[2]), page(3) + page(2))
        #expect(try writeOut(evenIfChanged: true).map { $0.failure } == [nil])
    }

    /// An image that is owed nothing is synced if a failed sync would lose something of it, whoever has changed it
    /// since. If it cannot be had, that is a failure, and nothing is forgotten.
    @Test func unsynced() throws {
        let paths = (0..<4).map { scratch.file(pattern(8192), named: "image \($0)") }
        for (number, path) in paths.enumerated() { _ = try rig.open(path, as: number) }
        rig.state.image(0).record.pointee.at_risk = 3
        rig.state.image(1).record.pointee.changes = 1
        rig.state.image(2).record.pointee.at_risk = 1
        rig.state.header.pointee.alive -= 5_000_000_000
        try Files.write([1], to: paths[1].string)
        unlink(paths[2].string)
        rig.state.header.pointee.short_lives = 3
        let outcomes = try writeOut()
        #expect(outcomes.map { $0.path } == paths[0..<3].map { $0.string })
        #expect(outcomes.map { $0.isUnsynced } == [false, false, true])
        #expect(outcomes.map { $0.failure == nil } == [true, true, false])
        #expect(outcomes.last?.failure?.contains("no such file") == true)
        #expect(rig.state.header.pointee.short_lives == 3)
        #expect(try writeOut().map { $0.path } == [paths[2].string])
    }

    /// An image that has grown while the server was alive gets what it is owed, and keeps what others have put behind
    /// its old end.
    @Test func grown() throws {
        let path = scratch.file(pattern(10_000))
        try die(path)
        rig.owe(page(0), page: 0, frame: 5)
        rig.owe(Array(page(2)[0..<1808]) + [UInt8](repeating: 0, count: 2288), page: 2, frame: 6)
        try Files.write([UInt8](repeating: 7, count: 5000), to: path.string, at: 10_000)
        rig.state.noteAlive()
        #expect(try writeOut().map { $0.failure } == [nil])
        expectSame(
            contents(of: path),
            page(0) + pattern(10_000)[4096..<8192] + page(2)[0..<1808] + [UInt8](repeating: 7, count: 5000))
        #expect(rig.state.image(0).size == 15_000 && rig.words == ["5: 0 0", "6: 0 2"])
    }

    /// An image that has lost its end, where nothing is owed, gets the rest only if a person says so.
    @Test func shorter() throws {
        let path = scratch.file(pattern(12_288))
        try die(path)
        rig.owe(page(1), page: 0, frame: 5)
        rig.keep(pattern(4096), page: 2, frame: 6)
        truncate(path, to: 8000)
        let refused = try writeOut()
        #expect(refused.count == 1 && refused[0].isChanged)
        expectSame(contents(of: path), pattern(8000))
        #expect(try writeOut(evenIfChanged: true).map { $0.failure } == [nil])
        expectSame(contents(of: path), page(1) + pattern(8000)[4096...])
        #expect(rig.state.image(0).size == 8000 && rig.words == ["5: 0 0"])
    }

    /// Another file is never written.
    @Test func replaced() throws {
        let path = scratch.file(pattern(8192))
        try die(path)
        rig.owe(page(1), page: 1, frame: 5)
        rename(scratch.file(pattern(8192, salt: 8), named: "new").string, path.string)
        let outcomes = try writeOut(evenIfChanged: true)
        #expect(outcomes.count == 1 && outcomes[0].failure?.contains("not the image that the server had") == true)
        expectSame(contents(of: path), pattern(8192, salt: 8))
        #expect(rig.words == ["5: 0 1 owed"])
    }

    /// A sector that was being overwritten gets its old bytes, on the image as well.
    @Test func underWay() throws {
        let path = scratch.file(pattern(8192))
        try die(path)
        rig.owe(page(1), page: 1, frame: 5)
        // As a server leaves it that dies in the middle of the third sector.
        let slots = Int(rig.state.header.pointee.slots_offset)
        let slot = UnsafeMutableRawPointer(rig.state.header) + slots
        let memory = rig.state.memory(ofFrame: 5)
        (slot + 64).copyMemory(from: memory + 1024, byteCount: 512)
        slot.storeBytes(of: FLEXPAGE_STATE_SLOT_ACTIVE | UInt64(5 * 8 + 2), as: UInt64.self)
        memset(memory + 1024, 0xFF, 100)
        #expect(try writeOut().map { $0.failure } == [nil])
        expectSame(contents(of: path), pattern(4096) + page(1))
    }

    /// A page that was being moved is in two frames, and is written once.
    @Test func moved() throws {
        let path = scratch.file(pattern(8192))
        try die(path)
        rig.owe(page(1), page: 1, frame: 5)
        rig.owe(page(1), page: 1, frame: 9)
        let outcomes = try writeOut()
        #expect(outcomes.map { $0.writtenPages } == [1] && outcomes[0].owedPages == 0)
        #expect(rig.words == ["5: 0 1", "9: 0 1"])
        expectSame(contents(of: path), pattern(4096) + page(1))
    }

    /// Two versions of a page: nobody knows which one is right.
    @Test func twoVersions() throws {
        let path = scratch.file(pattern(8192))
        try die(path)
        rig.owe(page(1), page: 1, frame: 5)
        rig.owe(page(2), page: 1, frame: 9)
        rig.close()
        #expect(throws: StateError(rig.path, .damaged(.twoVersions(9)))) {
            try StateFile(rig.path, create: false).look()
        }
    }

    /// A block device gets what it is owed as long as it is the same disk; what is clean is dropped.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here")) func devices() throws {
        let device = try LoopDevice(size: 1 << 20)
        try die(device.node)
        rig.owe(page(1), page: 255, frame: 5)
        rig.keep(page(2), page: 1, frame: 6)
        #expect(try writeOut().map { $0.failure } == [nil])
        #expect(rig.words == ["5: 0 255"])
        expectSame(contents(of: device.node), [UInt8](repeating: 0, count: 1_044_480) + page(1))

        rig.owe(page(3), page: 0, frame: 7)
        let (node, backing) = (device.path, device.file)
        #expect(shell("losetup --detach \(node) && losetup \(node) \(backing)").status == 0)
        let outcomes = try writeOut(evenIfChanged: true)
        #expect(outcomes.count == 1 && outcomes[0].failure?.contains("another disk") == true)
    }

    /// Other pages are written if the disk refuses some, and what was refused stays owed.
    @Test(.enabled(if: Machine.canMount("tmpfs"), "tmpfs cannot be mounted")) func full() throws {
        let mount = try Mount("tmpfs", options: "size=64k")
        let path = mount.scratch("image")
        write([], to: path)
        truncate(path, to: 1 << 20)
        try die(path)
        for index in 0..<40 { rig.owe(page(index), page: index * 2, frame: index) }
        let outcomes = try writeOut()
        #expect(outcomes.count == 1 && outcomes[0].failure?.contains("a write failed") == true)
        #expect((10...20).contains(outcomes[0].writtenPages))
        #expect(outcomes[0].owedPages == 40 - outcomes[0].writtenPages)
        #expect(
            shell("mount -o remount,size=1m '\(FilePath(mount.scratch.directory).removingLastComponent())'").status == 0
        )
        #expect(try writeOut().map { $0.failure } == [nil])
        let bytes = contents(of: path)
        for index in 0..<40 { expectSame(bytes[index * 8192..<index * 8192 + 4096], page(index)) }
    }
}
