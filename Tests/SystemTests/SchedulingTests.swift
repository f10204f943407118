import Glibc
import TestSupport
import Testing

/// scheduling=: the policy that the kernel has for the server's threads.
@Suite struct SchedulingTests {
    /// The kernel's numbers of policies.
    private enum Policy {
        static let other: Int32 = 0
        static let batch: Int32 = 3
        static let idle: Int32 = 5
    }

    /// The policies of all threads of a process.
    private func policies(_ pid: pid_t) throws -> [Int32] {
        let tasks = try Subprocess.run("ls", "/proc/\(pid)/task").output.split(separator: "\n")
        return tasks.compactMap { pid_t($0) }.map { sched_getscheduler($0) }
    }

    /// Starts a server, has it work for longer than it takes to choose a policy, and checks that of each thread.
    @discardableResult
    private func check(
        _ parameters: [String] = [], _ options: Server.Options = .init(), all wanted: Int32
    ) throws -> Server {
        let image = try Image(size: 1 << 20)
        let server = try Server([image.path] + parameters, options)
        let client = try Client(server)
        for _ in 0..<20_000 { try client.write([1, 2, 3, 4], at: 4096) }
        let found = try policies(server.pid)
        #expect(found.count > 16, "nbdkit has a thread for each request under way")
        #expect(found.allSatisfy { $0 == wanted }, "\(found)")
        return server
    }

    /// batch reaches every thread of the server, and normal touches none.
    @Test(arguments: [("scheduling=batch", Policy.batch), ("scheduling=normal", Policy.other)])
    func modes(_ parameter: String, _ wanted: Int32) throws { try check([parameter], all: wanted) }

    /// By default, every thread of a server that works is SCHED_BATCH, and of one that is idle none.
    @Test(arguments: Pager.allCases) func work(_ pager: Pager) throws {
        let image = try Image(size: 1 << 20)
        let server = try Server([image.path], Server.Options(pager: pager))
        let client = try Client(server)
        try work(client, until: Policy.batch, server)
        try Patience.wait(seconds: 120, "the threads stay SCHED_BATCH") {
            (try? policies(server.pid))?.allSatisfy { $0 == Policy.other } == true ? () : nil
        }
    }

    /// A policy that the server was started with stays.
    @Test(.enabled(if: Subprocess.exists("chrt"), "needs chrt"))
    func anotherPolicy() throws {
        let server = try check([], Server.Options(command: ["chrt", "-i", "0"]), all: Policy.idle)
        #expect(server.log.contains("scheduling=auto does nothing: the server was started with another policy"))
    }

    /// Where a filter of system calls kills a process that wants another policy, or refuses that, the server serves.
    /// (The filter's program: is the call sched_setscheduler? Then what `action` says, and otherwise all is allowed.)
    @Test(arguments: [("0x80000000", "kills"), ("0x00050001", "refuses with EPERM")])
    func sandbox(_ action: String, _ meaning: String) throws {
        #if arch(x86_64)
            let call = 144
        #else
            let call = 119
        #endif
        let script = """
            import ctypes, os, struct, sys
            program = b"".join(struct.pack("HBBI", *each) for each in (
                (0x20, 0, 0, 0), (0x15, 0, 1, \(call)), (0x06, 0, 0, \(action)), (0x06, 0, 0, 0x7fff0000)))
            kept = ctypes.create_string_buffer(program)
            filter = struct.pack("HxxxxxxP", 4, ctypes.addressof(kept))
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.create_string_buffer(filter), 0, 0):
                sys.exit("no filter: " + os.strerror(ctypes.get_errno()))
            os.execvp(sys.argv[1], sys.argv[1:])
            """
        let server = try check([], Server.Options(command: ["/usr/bin/python3", "-c", script]), all: Policy.other)
        #expect(server.log.contains("scheduling=auto does nothing: the system does not permit it"))
        #expect(try server.stop() == 0)
    }

    /// The end does not wait for the thread that watches, whether the server has worked or not.
    @Test(arguments: [false, true]) func end(works: Bool) throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image)
        if works {
            let client = try Client(server)
            for _ in 0..<20_000 { try client.write([1, 2, 3, 4], at: 4096) }
        }
        #expect(try server.stop() == 0)
    }

    /// Beside programs that keep all processors busy, a server that works goes back to the usual policy, and tries
    /// again later.
    @Test func crowd() throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image)
        let loops = try (0..<2 * sysconf(Int32(_SC_NPROCESSORS_ONLN))).map { _ in
            try Subprocess(["sh", "-c", "while :; do :; done"], outputPath: "/dev/null")
        }
        defer {
            for loop in loops {
                kill(loop.pid, SIGKILL)
                _ = try? loop.wait()
            }
        }
        let client = try Client(server)
        try work(client, "normal, because processors are busy", server)
        try work(client, "batch", server)
    }

    /// Reads until the log has this news of scheduling=auto, after what it has now.
    private func work(_ client: Client, _ news: String, _ server: Server) throws {
        let before = server.log.count
        try Patience.wait(seconds: 120, "the log does not say \(news)") {
            for _ in 0..<200 { _ = try? client.read(4096, at: 0) }
            return server.log.dropFirst(before).contains("scheduling=auto: \(news)") ? () : nil
        }
    }

    /// Reads until all threads of the server have this policy.
    private func work(_ client: Client, until policy: Int32, _ server: Server) throws {
        try Patience.wait(seconds: 120, "not all threads have policy \(policy)") {
            for _ in 0..<10 { _ = try? client.read(4096, at: 0) }
            return (try? policies(server.pid))?.allSatisfy { $0 == policy } == true ? () : nil
        }
    }
}
