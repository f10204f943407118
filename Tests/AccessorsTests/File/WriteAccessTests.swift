import Glibc
import Paging
import SystemPackage
import TestSupport
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

    /// The same, once programs that other tests start have closed their copies of our descriptors, which they have
    /// until exec.
    private func lastingProblem(_ image: ImageFile) -> ImageError.Problem? {
        for _ in 0..<500 {
            guard problem(image) != nil else { return nil }
            usleep(10_000)
        }
        return problem(image)
    }

    /// The second writer of an image is refused until the last writer of the first has left. Readers are not.
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

    /// A writer waits a little for the lock. A server that was killed while it wrote has it until the kernel is done.
    @Test func waitsForTheLock() throws {
        let path = scratch.file(pattern(4096))
        let first = try ImageFile(path: path)
        let second = try ImageFile(path: path)
        try first.beginWriting()
        let steps = Guarded<[String]>([])
        let hasBegun = DetachedThread.run {
            steps.withLock { $0.append("asks") }
            let isRefused = (try? second.beginWriting()) == nil
            steps.withLock { $0.append(isRefused ? "refused" : "writes") }
        }
        #expect(hasBegun)
        func wait(for count: Int) { while steps.withLock({ $0.count }) < count { usleep(1000) } }
        wait(for: 1)
        usleep(50_000)
        first.endWriting()
        wait(for: 2)
        #expect(steps.withLock { $0 } == ["asks", "writes"])
        second.endWriting()
    }

    /// The lock goes with the image. With lock=off there is none to take or to respect.
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

    /// Other processes see our lock, and we see theirs.
    @Test(.enabled(if: shell("python3 -c 'import fcntl'").status == 0, "no python3 here"))
    func otherProcesses() throws {
        let path = scratch.file(pattern(4096))
        let python = "import fcntl,sys; fcntl.lockf(open(sys.argv[1],'r+'), fcntl.LOCK_EX|fcntl.LOCK_NB)"
        let attempt = "python3 -c \"\(python)\" '\(path)'"
        let image = try ImageFile(path: path)
        try image.beginWriting()
        #expect(shell(attempt).status != 0)
        image.endWriting()
        #expect(shell(attempt).status == 0)

        let holder = Worker { shell(lockUntilReleased(path)) }
        holder.start()
        #expect(appears(scratch("locked")))
        #expect(problem(image) == .locked)
        write([], to: scratch("release"))
        #expect(try holder.join().status == 0)
        #expect(problem(image) == nil)
        image.endWriting()
    }

    /// A command that locks the file, creates `locked` beside it, and keeps the lock until there is a `release`.
    private func lockUntilReleased(_ path: FilePath) -> String {
        """
        python3 -c "import fcntl,os,sys,time
        image = open(sys.argv[1],'r+')
        fcntl.lockf(image, fcntl.LOCK_EX|fcntl.LOCK_NB)
        open(sys.argv[2],'w')
        while not os.path.exists(sys.argv[3]): time.sleep(0.01)
        " '\(path)' '\(scratch("locked"))' '\(scratch("release"))'
        """
    }

    private func appears(_ path: FilePath) -> Bool {
        for _ in 0..<1000 {
            if access(path.string, F_OK) == 0 { return true }
            usleep(10_000)
        }
        return false
    }

    /// Only a device's first writer claims it: readers hinder nobody, and a second writer is refused.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here"))
    func devices() throws {
        let device = try LoopDevice(size: 1 << 20)
        let first = try ImageFile(path: device.node)
        let second = try ImageFile(path: device.node)
        first.privilegesDropped()
        second.privilegesDropped()
        #expect(becomesClaimable(device.node))
        #expect(problem(first) == nil)
        #expect(!isClaimable(device.node))
        #expect(problem(second) == .held)
        #expect(try second.allBytes().count == 1 << 20)
        first.endWriting()
        #expect(becomesClaimable(device.node))
        #expect(problem(second) == nil)
        second.endWriting()
    }

    /// With lock=off a device is claimed all the same.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here"))
    func devicesWithoutLock() throws {
        let device = try LoopDevice(size: 1 << 20)
        let first = try ImageFile(path: device.node, lock: .off)
        first.privilegesDropped()
        #expect(becomesClaimable(device.node))
        #expect(problem(first) == nil)
        #expect(!isClaimable(device.node))
        first.endWriting()
    }

    /// A mounted device is refused to writers and served to readers.
    @Test(.enabled(if: Machine.canMountExt4, "no ext4 on a loop device here"))
    func mounted() throws {
        let mount = try Mount(ext4: 8 << 20)
        let image = try ImageFile(path: try #require(mount.device?.node))
        image.privilegesDropped()
        let refusal = problem(image)
        // A kernel that guards mounted devices opens them for reading only.
        #expect(refusal == .held || refusal == .readOnly(.resourceBusy))
        #expect(try image.allBytes().count == 8 << 20)
    }

    /// A process that gives up its rights to a device keeps the claim that it made with them. So its first writer is
    /// not refused, and writes.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here"))
    func rightsGivenUp() throws {
        let device = try LoopDevice(size: 1 << 20)
        let image = try ImageFile(path: device.node)
        asNobody { image.privilegesDropped() }
        #expect(!isClaimable(device.node))
        #expect(asNobody { problem(image) } == nil)
        try image.writeOut(PageMemory(pattern(4096)), at: 0)
        asNobody { image.endWriting() }
        #expect(!isClaimable(device.node))
        #expect(asNobody { problem(image) } == nil)
        asNobody { image.endWriting() }
    }

    /// If the device was held when rights were given up, the writer learns that it cannot be claimed now.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here"))
    func claimTooLate() throws {
        let device = try LoopDevice(size: 1 << 20)
        let holder = try ImageFile(path: device.node)
        let image = try ImageFile(path: device.node)
        holder.privilegesDropped()
        asNobody { image.privilegesDropped() }
        #expect(asNobody { problem(image) } == .unclaimable(.permissionDenied))
        #expect(becomesClaimable(device.node))
        #expect(problem(image) == nil)
        image.endWriting()
    }

    /// Many clients that come and go at once leave the lock as they found it.
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

    /// Waits until the device is given back. A test beside this one may start a program, which has a copy of our
    /// descriptors between its fork and its exec. The copy holds the device for that moment.
    private func becomesClaimable(_ path: FilePath) -> Bool {
        for _ in 0..<1000 {
            if isClaimable(path) { return true }
            usleep(10_000)
        }
        return false
    }

    /// True if the device could be mounted, or taken by another writer.
    private func isClaimable(_ path: FilePath) -> Bool {
        let descriptor = try? FileDescriptor.open(path, .readOnly, options: .exclusiveCreate)
        try? descriptor?.close()
        return descriptor != nil
    }
}
