import Glibc
import TestSupport
import Testing

/// Writes that are submitted together (io_uring): when that is possible, and when the kernel refuses or interrupts it.
@Suite(.serialized) struct RingTests {
    /// What /proc says of each ring that a process has open.
    private func rings(_ pid: pid_t) throws -> [String] {
        try Files.names("/proc/\(pid)/fd").compactMap { number in
            guard Files.target("/proc/\(pid)/fd/\(number)") == "anon_inode:[io_uring]" else { return nil }
            return try Files.text("/proc/\(pid)/fdinfo/\(number)")
        }
    }

    /// The serving process makes its rings when the first client that may write comes, once, and so after any fork.
    /// They are closed in programs that it starts. A server that nobody writes to has none.
    @Test(.enabled(if: Machine.hasRings, "the kernel has no io_uring, or forbids it"))
    func whenTheyAreMade() throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image)
        #expect(try rings(server.pid).isEmpty)
        _ = try Client(server)
        let made = try rings(server.pid)
        #expect(made.count == 8)
        // The flag is octal: O_CLOEXEC.
        #expect(made.allSatisfy { $0.contains("flags:\t02000002\n") }, "\(made)")
        _ = try Client(server)
        #expect(try rings(server.pid).count == 8)
        let reader = try Server(image, options: Server.Options(nbdkit: ["-r"]))
        _ = try Client(reader)
        #expect(try rings(reader.pid).isEmpty)
    }

    /// Many writes go out together, and after a flush all of them are on the image. This holds if the kernel refuses to
    /// make rings or to take anything from them. It also holds if each second or third system call is interrupted or
    /// finds no memory. No client gets an error.
    @Test(
        .enabled(if: Machine.canTrace && Machine.hasRings, "needs io_uring, strace and the permission to trace"),
        arguments: [
            "io_uring_setup:error=EPERM", "io_uring_setup:error=ENOSYS", "io_uring_setup:error=EMFILE:when=4+",
            "io_uring_enter:error=EPERM", "io_uring_enter:error=EINTR:when=1+2", "io_uring_enter:error=EAGAIN:when=2+3",
            "io_uring_enter:error=EBUSY:when=1+2",
        ])
    func refusals(_ fault: String) throws {
        let image = try Image(size: 8 << 20)
        let server = try Server(image, "memory=16M", "dirty-age=3600", options: Server.Options(isVerbose: false))
        let strace = try Subprocess(
            [
                "strace", "-f", "-q", "-e", "trace=io_uring_setup,io_uring_enter", "-e", "inject=\(fault)",
                "-p", "\(server.pid)", "-o", server.scratch.path("trace"),
            ], outputPath: server.scratch.path("strace"))
        try Patience.wait(seconds: 60, "strace does not attach: \(strace.output)") {
            Machine.isTraced(server.pid, by: strace.pid) ? () : nil
        }
        var wanted = image.bytes
        do {
            let client = try Client(server)
            for round in 0..<3 as Range<UInt64> {
                for number in 0..<200 {
                    let new = Image.bytes(0..<4096 + number % 3 * 4096, seed: round * 1000 + UInt64(number) + 2)
                    try client.write(new, at: number * 40_960 + 4096)
                    Bytes.put(new, into: &wanted, at: number * 40_960 + 4096)
                }
                try client.flush()
                try Bytes.check(try Files.bytes(image.path), wanted, "the image")
            }
        }
        kill(strace.pid, SIGINT)
        _ = try strace.wait()
        let trace = try Files.text(server.scratch.path("trace"))
        #expect(trace.contains("(INJECTED)"), "\(trace.prefix(2000))")
        #expect(try server.stop() == 0)
        #expect(server.log.isEmpty)
    }
}
