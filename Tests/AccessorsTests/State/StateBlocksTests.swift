import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Accessors
@testable import Paging

/// Blocks of a state file are given back and taken again.
@Suite("Blocks of state files", .enabled(if: StateRig.isAvailable, "\(StateRig.needs)"))
struct StateBlocksTests {
    private func allocated(_ path: FilePath) throws -> Int {
        var status = stat()
        guard stat(path.string, &status) == 0 else { throw Trouble("no state file") }
        return Int(status.st_blocks) * 512
    }

    private func memory(_ rig: StateRig) throws -> Memory {
        let bytes = Metadata.bytes(forFrames: rig.state.frames, keptIn: rig.file.unit)
        return try Memory(bytes: bytes, kept: rig.state, backing: rig.file)
    }

    /// What is given back is a hole. Taken again, it is allocated, and may be written. The rest is as it was.
    @Test func holes() throws {
        let rig = try StateRig(frames: 4096)
        let memory = try memory(rig)
        let (grid, whole) = (memory.grid, try allocated(rig.path))
        #expect(grid.size == 512 && grid.count >= 6)
        // Blocks of the address space are blocks of the file.
        #expect((memory.bytes(ofBlock: 0).baseAddress! - rig.file.mapping!.baseAddress!) % (2 << 20) == 0)
        memset(memory.base, 0x77, 4096 * 4096)
        for block in [1, 3, 4] { try rig.file.release(memory.bytes(ofBlock: block)) }
        #expect(try allocated(rig.path) == whole - 3 * 2 << 20)
        try rig.file.allocate(memory.bytes(ofBlock: 3))
        #expect(try allocated(rig.path) == whole - 2 * 2 << 20)
        for block in [0, 2, 5] {
            let bytes = memory.bytes(ofBlock: block)
            #expect(bytes.allSatisfy { $0 == 0x77 })
        }
        let again = memory.bytes(ofBlock: 3)
        memset(again.baseAddress!, 1, again.count)
        #expect(try allocated(rig.path) == whole - 2 * 2 << 20)
    }

    /// A server died with a smaller memory. The next one allocates all of it, and finds what frames hold that were not
    /// given back.
    @Test func theNextServer() throws {
        let rig = try StateRig(frames: 4096)
        let image = rig.scratch.path("disk.img")
        try Files.write([UInt8](repeating: 0, count: 1 << 20), to: image)
        _ = try rig.open(FilePath(image))
        rig.owe([UInt8](repeating: 9, count: 4096), page: 7, frame: 20)
        let whole = try allocated(rig.path)
        do {
            let memory = try memory(rig)
            for block in [1, 2, 5] { try rig.file.release(memory.bytes(ofBlock: block)) }
        }
        #expect(try allocated(rig.path) < whole)
        try rig.takeOver()
        #expect(try allocated(rig.path) == whole)
        #expect(rig.words == ["20: 0 7 owed"])
    }

    /// A program that only looks takes nothing again of what a server with a smaller memory had given back.
    @Test func looking() throws {
        let scratch = try Scratch(in: "/dev/shm")
        let path = scratch("state")
        let whole: Int
        do {
            let file = try StateFile(path)
            let state = try file.make(KeptLayout(frames: 4096, unit: file.unit))
            whole = try allocated(path)
            let memory = try Memory(
                bytes: Metadata.bytes(forFrames: state.frames, keptIn: file.unit), kept: state, backing: file)
            for block in 1...4 { try file.release(memory.bytes(ofBlock: block)) }
        }
        let file = try StateFile(path, create: false)
        #expect(try file.look(canHaveHoles: true)?.frames == 4096)
        #expect(try allocated(path) == whole - 4 * 2 << 20)
        #expect(try file.look()?.frames == 4096)
        #expect(try allocated(path) == whole)
    }

    /// The filesystem is full: a server cannot have such a state, but what is in it can be seen, and written out.
    @Test(.enabled(if: Machine.canMount("tmpfs"), "no tmpfs can be mounted")) func aFullFilesystem() throws {
        let mount = try Mount("tmpfs", options: "size=24m")
        let path = mount.scratch("state")
        do {
            let file = try StateFile(path)
            let state = try file.make(try #require(file.layout(memory: 16 << 20)))
            let bytes = Metadata.bytes(forFrames: state.frames, keptIn: file.unit)
            let memory = try Memory(bytes: bytes, kept: state, backing: file)
            try file.release(memory.bytes(ofBlock: 3))
        }
        #expect(throws: Trouble.self) {
            try Files.write([UInt8](repeating: 1, count: 32 << 20), to: mount.scratch("filler").string)
        }
        let file = try StateFile(path, create: false)
        #expect(throws: StateError.self) { try file.look() }
        #expect(try file.look(canHaveHoles: true)?.contents.isEmpty == true)
    }

    /// A state with holes, without a server: what is owed comes to the image.
    @Test func writeOut() throws {
        let rig = try StateRig(frames: 4096)
        let image = rig.scratch.path("disk.img")
        try Files.write([UInt8](repeating: 0, count: 1 << 20), to: image)
        _ = try rig.open(FilePath(image))
        for page in 0..<10 {
            rig.owe([UInt8](repeating: UInt8(page + 1), count: 4096), page: page, frame: page * 3)
        }
        do {
            let memory = try memory(rig)
            for block in 1..<memory.grid.count { try rig.file.release(memory.bytes(ofBlock: block)) }
        }
        try rig.takeOver()
        let outcomes = StateWriteOut(rig.state, rig.mark).run()
        #expect(outcomes.map(\.writtenPages) == [10] && outcomes.allSatisfy { $0.failure == nil })
        let bytes = try Files.bytes(image)
        for page in 0..<10 { #expect(bytes[page * 4096] == UInt8(page + 1)) }
    }

    /// There is no room any more: an error and no signal, and what there was room for is a hole again.
    @Test(.enabled(if: Machine.isRoot, "only root can mount a filesystem"))
    func noRoom() throws {
        let mount = try Mount("tmpfs", options: "mode=755,size=24m")
        let path = FilePath(mount.scratch.path("state"))
        let file = try StateFile(path)
        let state = try file.make(KeptLayout(frames: 4096, unit: file.unit))
        let memory = try Memory(
            bytes: Metadata.bytes(forFrames: 4096, keptIn: file.unit), kept: state, backing: file)
        for block in 0..<4 { try file.release(memory.bytes(ofBlock: block)) }
        let hollow = try allocated(path)
        try Files.write([UInt8](repeating: 1, count: 14 << 20), to: mount.scratch.path("other"))
        #expect(throws: AccessError(ENOSPC)) { try file.allocate(memory.bytes(ofBlock: 2)) }
        #expect(try allocated(path) == hollow)
        unlink(mount.scratch.path("other"))
        try file.allocate(memory.bytes(ofBlock: 2))
        #expect(try allocated(path) == hollow + 2 << 20)
    }
}
