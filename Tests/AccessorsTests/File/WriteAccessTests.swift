import Glibc
import Paging
import SystemPackage
import Testing

@testable import Accessors

@Suite("Who may write")
struct WriteAccessTests {
    private let scratch = Scratch()

    private func problem(_ image: ImageFile) -> ImageError.Problem? {
        do throws(ImageError) {
            try image.beginWriting()
            return nil
        } catch {
            #expect(error.description.hasPrefix("\(image.path): "))
            return error.problem
        }
    }

    /// The same, once the programs that other tests start have let go of the descriptors that they have until they run.
    private func lastingProblem(_ image: ImageFile) -> ImageError.Problem? {
        for _ in 0..<500 {
            guard problem(image) != nil else { return nil }
            usleep(10_000)
        }
        return problem(image)
    }

    /// Proves: the second to write an image is refused until the last writer of the first has left; readers are not.
    @Test func files() throws {
        let path = scratch.file(pattern(4096))
        let first = try ImageFile(path: path)
        let second = try ImageFile(path: path)
        try first.beginWriting()
        try first.beginWriting()
        #expect(problem(second) == .locked)
        try expectSame(second.allBytes(), pattern(4096))
        try expectSame(ImageFile(path: path, readOnly: true).allBytes(), pattern(4096))
        first.endWriting()
        #expect(problem(second) == .locked)
        first.endWriting()
        #expect(problem(second) == nil)
        #expect(problem(first) == .locked)
        second.endWriting()
        #expect(problem(first) == nil)
        first.endWriting()
    }

    /// Proves: the lock goes with the image; with lock=off there is none to take or to heed.
    @Test func withoutLock() throws {
        let path = scratch.file(pattern(4096))
        let careless = try ImageFile(path: path, lock: .off)
        do {
            let first = try ImageFile(path: path)
            try first.beginWriting()
            #expect(problem(careless) == nil)
        }
        let second = try ImageFile(path: path)
        #expect(lastingProblem(second) == nil)
        careless.endWriting()
        second.endWriting()
    }

    /// Proves: the lock is seen by other processes, theirs by us.
    @Test func otherProcesses() throws {
        let path = scratch.file(pattern(4096))
        let python = "import fcntl,sys; fcntl.lockf(open(sys.argv[1],'r+'), fcntl.LOCK_EX|fcntl.LOCK_NB)"
        let attempt = "python3 -c \"\(python)\" '\(path)'"
        guard shell("python3 -c 'import fcntl'").status == 0 else { return }
        let image = try ImageFile(path: path)
        try image.beginWriting()
        #expect(shell(attempt).status != 0)
        image.endWriting()
        #expect(shell(attempt).status == 0)
    }

    /// Proves: a device is claimed by its first writer only: readers hinder nobody, a second writer is refused.
    @Test(.enabled(if: LoopDevice.isAvailable, "loop devices cannot be had"))
    func devices() throws {
        let device = try LoopDevice(size: 1 << 20)
        let first = try ImageFile(path: device.path)
        let second = try ImageFile(path: device.path)
        first.privilegesDropped()
        second.privilegesDropped()
        #expect(becomesClaimable(device.path))
        #expect(problem(first) == nil)
        #expect(!isClaimable(device.path))
        #expect(problem(second) == .held)
        #expect(try second.allBytes().count == 1 << 20)
        first.endWriting()
        #expect(becomesClaimable(device.path))
        #expect(problem(second) == nil)
        second.endWriting()
    }

    /// Proves: with lock=off a device is claimed all the same.
    @Test(.enabled(if: LoopDevice.isAvailable, "loop devices cannot be had"))
    func devicesWithoutLock() throws {
        let device = try LoopDevice(size: 1 << 20)
        let first = try ImageFile(path: device.path, lock: .off)
        first.privilegesDropped()
        #expect(becomesClaimable(device.path))
        #expect(problem(first) == nil)
        #expect(!isClaimable(device.path))
        first.endWriting()
    }

    /// Proves: a mounted device is refused to writers and served to readers.
    @Test(.enabled(if: Mount.hasExt4, "no ext4 on a loop device can be had"))
    func mounted() throws {
        let mount = try Mount(ext4: 8 << 20)
        let image = try ImageFile(path: try #require(mount.devicePath))
        image.privilegesDropped()
        let refusal = problem(image)
        // A kernel that guards mounted devices opens them for reading only.
        #expect(refusal == .held || refusal == .readOnly(.resourceBusy))
        #expect(try image.allBytes().count == 8 << 20)
    }

    /// Proves: a process that gives up its rights to a device keeps the claim that it made with them, so that its first
    /// writer is not refused; and writes.
    @Test(.enabled(if: LoopDevice.isAvailable, "loop devices cannot be had"))
    func rightsGivenUp() throws {
        let device = try LoopDevice(size: 1 << 20)
        let image = try ImageFile(path: device.path)
        asNobody { image.privilegesDropped() }
        #expect(!isClaimable(device.path))
        #expect(asNobody { problem(image) } == nil)
        try image.writeOut(PageMemory(pattern(4096)), at: 0)
        asNobody { image.endWriting() }
        #expect(!isClaimable(device.path))
        #expect(asNobody { problem(image) } == nil)
        asNobody { image.endWriting() }
    }

    /// Proves: where the device was held when rights were given up, the writer is told that it cannot be claimed now.
    @Test(.enabled(if: LoopDevice.isAvailable, "loop devices cannot be had"))
    func claimTooLate() throws {
        let device = try LoopDevice(size: 1 << 20)
        let holder = try ImageFile(path: device.path)
        let image = try ImageFile(path: device.path)
        holder.privilegesDropped()
        asNobody { image.privilegesDropped() }
        #expect(asNobody { problem(image) } == .unclaimable(.permissionDenied))
        #expect(becomesClaimable(device.path))
        #expect(problem(image) == nil)
        image.endWriting()
    }

    /// Proves: many clients that come and go at once leave it as they found it.
    @Test func manyAtOnce() throws {
        let path = scratch.file(pattern(4096))
        let image = try ImageFile(path: path)
        let workers = (0..<4).map { _ in
            Worker {
                for _ in 0..<200 {
                    try image.beginWriting()
                    image.endWriting()
                }
            }
        }
        for worker in workers { worker.start() }
        for worker in workers { try worker.join() }
        let other = try ImageFile(path: path)
        #expect(problem(other) == nil)
        other.endWriting()
    }

    /// Whether the device is given back. A test beside this one that starts a program has a copy of our descriptors
    /// between its fork and its exec, which holds the device for that moment.
    private func becomesClaimable(_ path: FilePath) -> Bool {
        for _ in 0..<1000 {
            if isClaimable(path) { return true }
            usleep(10_000)
        }
        return false
    }

    /// Whether the device could be mounted, or taken by another writer.
    private func isClaimable(_ path: FilePath) -> Bool {
        let descriptor = try? FileDescriptor.open(path, .readOnly, options: .exclusiveCreate)
        try? descriptor?.close()
        return descriptor != nil
    }
}
