import CStateFormat
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Accessors
@testable import Paging

/// The kernel outlives the process: what it still does for a server that was killed, on a slow disk.
@Suite(
    "The kernel goes on after a kill", .serialized,
    .enabled(if: StateRig.isAvailable && ThrottleGroup.isAvailable, "\(ThrottleGroup.needs), and \(StateRig.needs)"),
    .enabled(if: Subprocess.exists("cc"), "there is no C compiler"))
struct LateKernelTests {
    private static let size = 1 << 20
    private let rig: StateRig
    private let scratch = Scratch()

    init() throws { rig = try StateRig() }

    private var image: FilePath { scratch("image") }
    private var memory: FilePath { rig.scratch("memory") }

    /// A file all of whose bytes are on the disk, so that a read is a read of the disk.
    private func fill(_ path: FilePath, _ byte: UInt8) throws {
        write([UInt8](repeating: byte, count: Self.size), to: path)
        #expect(shell("sync '\(path)'").status == 0)
    }

    /// Starts a process that reads or writes the image, and kills it while that is under way.
    private func killDuring(_ operation: String, _ group: ThrottleGroup) throws {
        let program = scratch("late")
        let source = "\(Repository.path)/Tests/AccessorsTests/State/late.c"
        let built = try Subprocess.run("cc", "-O1", "-Wall", "-o", program.string, source)
        guard built.status == 0 else { throw Trouble(built.output) }
        let command = "\(program) \(operation) '\(image)' '\(memory)' \(rig.mark.byte)"
        // It begins when it is in the group.
        let process = try Subprocess(
            ["sh", "-c", "while ! [ -e '\(scratch("go"))' ]; do sleep 0.01; done; exec \(command)"],
            outputPath: "\(scratch.directory)/output")
        try group.take(process.pid)
        write([], to: scratch("go"))
        try Patience.wait(seconds: 60, "nothing is under way: \(process.output)") {
            process.output.contains("under way") || process.hasEnded ? () : nil
        }
        #expect(process.output == "under way\n")
        kill(process.pid, SIGKILL)
        #expect(try process.wait() == 128 + SIGKILL)
    }

    private func isMarked() throws -> Bool { try !LockTable().locks(startingAt: rig.mark.byte).isEmpty }

    /// A read that was under way lands in the memory after the process is gone. Whoever takes charge afterwards has the
    /// memory alone.
    @Test func reads() throws {
        try fill(image, 1)
        try fill(memory, 0)
        let group = try ThrottleGroup(near: image.string)
        try group.limitReading(bytesPerSecond: Self.size / 2)
        try killDuring("read", group)
        #expect(try isMarked(), "the process is gone, and its read is not over")
        #expect(contents(of: memory).contains(0))
        var lines: [String] = []
        try rig.takeOver { lines.append($0) }
        #expect(!lines.isEmpty && lines[0].hasSuffix("waiting for 1 s"))
        // The read is over: what the next server stores stays.
        #expect(!contents(of: memory).contains(0))
        try fill(memory, 7)
        usleep(1_000_000)
        expectSame(contents(of: memory), [UInt8](repeating: 7, count: Self.size))
    }

    /// A write-out that was under way takes its bytes from the memory until it is over. Whatever is stored there
    /// afterwards does not get to the image.
    @Test func writes() throws {
        try fill(image, 1)
        try fill(memory, 2)
        let group = try ThrottleGroup(near: image.string)
        try group.limit(bytesPerSecond: Self.size / 2)
        try killDuring("write", group)
        #expect(try isMarked(), "the process is gone, and its write is not over")
        try rig.takeOver()
        #expect(try !isMarked())
        try fill(memory, 7)
        usleep(1_000_000)
        #expect(shell("sync '\(image)'; echo 3 > /proc/sys/vm/drop_caches").status == 0)
        expectSame(contents(of: image), [UInt8](repeating: 2, count: Self.size))
    }
}
