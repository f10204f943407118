import Glibc
import TestSupport
import Testing

/// Five hundred starts of the plugin, several at a time so that threads are held up: each serves a read, none hangs,
/// none dies. As many of the filter with FLEXPAGE_SOAK=1, and a tenth without.
///
/// They prove the fork rule of Interface.h. When nbdkit's main thread runs Swift after the fork, 1 to 5 of 100 such
/// starts hang or trap.
@Suite(.serialized) struct StartTests {
    private static let atOnce = 4
    private static func startsOfEachKind(_ pager: Pager) -> Int { pager == .plugin || Soak.isOn ? 100 : 8 }

    /// Starts in the foreground serve, and end with status 0.
    @Test(arguments: Pager.allCases) func foreground(_ pager: Pager) throws {
        try starts(pager) { image in
            let server = try Server(image, "memory=2M", options: Server.Options(isVerbose: false, pager: pager))
            try image.checkRead(try Client(server), 10_000, at: 5_000)
            let status = try server.stop()
            guard status == 0 else { throw Trouble("nbdkit has ended with \(status): \(server.log)") }
        }
    }

    /// Starts with --run serve, though the server is a forked child then.
    @Test(arguments: Pager.allCases) func captive(_ pager: Pager) throws {
        let served = try pager.arguments()
        try starts(pager) { image in
            let copy = image.scratch.path("copy")
            let script = "nbdcopy \"$uri\" \(copy) && cmp \(image.path) \(copy) && rm \(copy)"
            let result = try Subprocess.run(
                ["nbdkit", "-U", "-"] + served + [image.path, "memory=2M", "--run", script])
            guard result.status == 0 else { throw Trouble("it has ended with \(result.status): \(result.output)") }
        }
    }

    /// Starts as a daemon serve, and each daemon goes on request.
    @Test(arguments: Pager.allCases) func daemonised(_ pager: Pager) throws {
        try starts(pager) { image in
            let daemon = try Daemon(image, "memory=2M", pager: pager)
            try image.checkRead(try Client(socket: daemon.socket), 10_000, at: 5_000)
            kill(daemon.pid, SIGTERM)
            try daemon.waitUntilGone()
        }
    }

    /// Starts with -s serve: nbdkit does not fork then, and serves from its main thread.
    @Test(arguments: Pager.allCases) func onStandardInput(_ pager: Pager) throws {
        let served = try pager.arguments()
        try starts(pager) { image in
            try image.checkRead(
                try Client.starting(["nbdkit", "-s"] + served + [image.path, "memory=2M"]), 10_000, at: 5_000)
        }
    }

    /// Starts by socket activation serve.
    @Test(arguments: Pager.allCases) func socketActivated(_ pager: Pager) throws {
        let served = try pager.arguments()
        try starts(pager) { image in
            try image.checkRead(
                try Client.activating(["nbdkit"] + served + [image.path, "memory=2M"]), 10_000, at: 5_000)
        }
    }

    /// An image for each thread: two servers may not write one.
    private func starts(_ pager: Pager, _ start: (Image) throws -> Void) throws {
        try Threads.run(Self.atOnce) { _ in
            let image = try Image(size: 1 << 20)
            for _ in 0..<Self.startsOfEachKind(pager) / Self.atOnce { try start(image) }
        }
    }
}
