import Glibc
import TestSupport
import Testing

/// Restarts of servers in other surroundings: as another user, with a command, and after images have vanished.
@Suite(.serialized, .enabled(if: StateFolder.isAvailable, Comment(rawValue: StateFolder.needs)))
struct RestartSurroundingsTests {
    /// The state file belongs to the user who starts nbdkit. A server that runs as another one afterwards leaves what
    /// it owes there, and the next one of that kind takes it over.
    @Test(.enabled(if: Machine.isRoot, "only root can become another user")) func anotherUser() throws {
        let image = try Image(size: 1 << 20)
        let state = StateFolder()
        let options = Server.Options(nbdkit: ["-u", "nobody"])
        try Server(image, state.option, "memory=8M").stop()
        let bytes = [UInt8](repeating: 9, count: 8192)
        let first = try Server(image, state.option, "memory=8M", "dirty-age=3600", options: options)
        let client = try Client(first)
        try client.write(bytes, at: 65536)
        try Restart.kill(first, beside: client)
        let second = try Server(image, state.option, "memory=8M", options: options)
        #expect(second.log.contains("2 pages that the last server owed to images are taken over"))
        #expect(try Client(second).read(8192, at: 65536) == bytes)
        #expect(try second.stop() == 0)
        #expect(Array(try Files.bytes(image.path)[65536..<73728]) == bytes)
    }

    /// A server that lives as long as its command. Nothing of its start keeps the state file, and the next one is warm.
    @Test func withACommand() throws {
        let image = try Image(size: 1 << 20)
        let state = StateFolder()
        let (new, copy) = (image.scratch.path("new"), image.scratch.path("copy"))
        let bytes = Image.bytes(0..<1 << 20, seed: 3)
        try Files.write(bytes, to: new)
        func run(_ command: String) throws -> String {
            let result = try Subprocess.run(
                "nbdkit", "-U", "-", "-v", "-D", "flexpage.verbose=1", try Plugin.built(), image.path, state.option,
                "memory=8M", "--run", command)
            #expect(result.status == 0, "\(result.output.suffix(2000))")
            return result.output
        }
        _ = try run("nbdcopy --flush \(new) \"$uri\"")
        try Bytes.check(try Files.bytes(image.path), bytes, "the image")
        let output = try run("nbdcopy \"$uri\" \(copy)")
        #expect(output.contains(" fills=0 "), "\(output.suffix(2000))")
        try Bytes.check(try Files.bytes(copy), bytes, "the copy")
    }

    /// A server is killed while its command goes on. nbdkit's other process, which waits for the command, keeps the
    /// state file from nobody: the next server has what was written.
    @Test func killedWithACommand() throws {
        let image = try Image(size: 1 << 20)
        let state = StateFolder()
        let (new, copy, number) = (image.scratch.path("new"), image.scratch.path("copy"), image.scratch.path("number"))
        let bytes = Image.bytes(0..<1 << 20, seed: 4)
        try Files.write(bytes, to: new)
        let server = ["nbdkit", "-U", "-", try Plugin.built(), image.path, state.option, "memory=8M"]
        let next = (server + ["--run", "'nbdcopy \"$uri\" \(copy)'"]).joined(separator: " ")
        let command = "nbdcopy \(new) \"$uri\" && kill -KILL $(cat \(number)) && \(next)"
        // Its status says that the first server was killed.
        let result = try Subprocess.run(server + ["-P", number, "--run", command])
        try Bytes.check(try Files.bytes(copy), bytes, "the copy; \(result.output.suffix(2000))")
    }

    /// An image to which nothing is owed has vanished: the others are served, from memory.
    @Test func aCleanImageHasVanished() throws {
        let folder = try ImageFolder(["bad", "good"])
        let state = StateFolder()
        let first = try folder.server(state.option, "memory=8M")
        for name in ["bad", "good"] { try folder.check(first, name) }
        #expect(try first.stop() == 0)
        unlink(folder.path("bad"))
        let second = try folder.server(state.option, "memory=8M")
        try folder.check(second, "good")
        try folder.make("bad", seed: 5)
        try Bytes.check(try Client(second, "bad").read(folder.size, at: 0), folder.bytes("bad", seed: 5))
        #expect(try second.stop() == 0)
        #expect(try second.counter("misses") > 0, "the new image has been read")
        #expect(try second.counter("hits") >= 16, "the other one has not")
    }

    /// If the record of such an image proves nothing, its pages are dropped at the start, and a line says so.
    @Test func aCleanImageThatProvesNothing() throws {
        let folder = try ImageFolder(["bad"])
        let state = StateFolder()
        let first = try folder.server(state.option, "memory=8M")
        let client = try Client(first, "bad")
        try client.write([7], at: 0, .forced)
        try Restart.kill(first, beside: client)
        try state.forgetStamp()
        unlink(folder.path("bad"))
        let second = try folder.server(state.option, "memory=8M")
        let line = "what is cached of an image is dropped: \(folder.path("bad")): nothing proves that"
        #expect(second.log.contains(line), "\(second.log.prefix(2000))")
        #expect(try second.stop() == 0)
    }

    /// An image to which data is owed has vanished: the server does not start, and says which image it is.
    @Test func anOwedImageHasVanished() throws {
        let folder = try ImageFolder(["bad", "good"])
        let state = StateFolder()
        let first = try folder.server(state.option, "memory=8M", "dirty-age=3600")
        let client = try Client(first, "bad")
        try client.write([7], at: 0)
        try Restart.kill(first, beside: client)
        unlink(folder.path("bad"))
        let refused = try Restart.refusal(["dir=\(folder.directory)"], state)
        #expect(refused.contains("1 page of 4096 bytes is owed to"))
        #expect(refused.contains("\(folder.path("bad")): there is no such file"), "\(refused)")
        #expect(refused.contains("--write-out") && refused.contains("--discard"))
    }
}
