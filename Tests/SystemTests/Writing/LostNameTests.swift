import Glibc
import TestSupport
import Testing

/// An image is deleted or replaced while it is served: the log says so, if clients write.
@Suite struct LostNameTests {
    private func waitFor(_ text: String, in log: () -> String, flushing client: Client) throws {
        try Patience.wait(seconds: 60, "the log is silent: \(log().suffix(1000))") {
            try? client.flush()
            return log().contains(text) ? () : nil
        }
    }

    private func count(_ text: String, in log: String) -> Int { log.split(separator: "\n").count { $0.contains(text) } }

    /// The log says once, without -v, that the image was deleted, and clients are served as before.
    @Test func deleted() throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image, options: Server.Options(isVerbose: false))
        let client = try Client(server)
        try client.flush()
        #expect(server.log == "")
        unlink(image.path)
        let text = "file=\(image.path): the image has been deleted; what clients write is gone when the server ends; "
        try waitFor(text, in: { server.log }, flushing: client)
        usleep(1_200_000)
        try client.write([1], at: 0)
        try client.flush()
        #expect(try client.read(1, at: 0) == [1])
        #expect(count(text, in: server.log) == 1)
    }

    /// A new writer is enough to notice `mv` over the image.
    @Test func replaced() throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image, options: Server.Options(isVerbose: false))
        #expect(link(image.path, image.path + ".kept") == 0)
        try Files.write([1], to: image.path + ".new")
        #expect(rename(image.path + ".new", image.path) == 0)
        let client = try Client(server)
        #expect(server.log.contains("file=\(image.path): another file has this name now; "))
        withExtendedLifetime(client) {}
    }

    /// A daemon (with -v, or it has no log) changes its directory, and still follows a relative path from the directory
    /// in which it was started.
    @Test func relativePathsOfADaemon() throws {
        let image = try Image(size: 1 << 20)
        let path = image.scratch.path
        let command =
            "cd \(image.scratch.directory) && "
            + "exec nbdkit -v --log=stderr -P pid -U socket \(try Plugin.built()) disk.img"
        let start = try Subprocess(["sh", "-c", command], outputPath: path("log"))
        #expect(try start.wait() == 0)
        let pid = try Patience.wait(seconds: 60, "there is no pid") {
            (try? Files.text(path("pid")))?.split(separator: "\n").first.flatMap { pid_t($0) }
        }
        defer { kill(pid, SIGKILL) }
        #expect(Files.target("/proc/\(pid)/cwd") == "/")
        let client = try Client(socket: path("socket"))
        try client.flush()
        #expect(!start.output.contains("error: file="))
        #expect(rename(image.path, image.path + ".moved") == 0)
        try waitFor("file=disk.img: the image has been moved or renamed; ", in: { start.output }, flushing: client)
    }
}
