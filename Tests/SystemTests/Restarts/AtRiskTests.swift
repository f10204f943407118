import Glibc
import TestSupport
import Testing

/// What a server that dies has changed on an image and has not in memory any more, such as a zero, is durable or known
/// to be lost before its record goes.
@Suite(.serialized, .enabled(if: StateFolder.isAvailable, Comment(rawValue: StateFolder.needs)))
struct AtRiskTests {
    private let state = StateFolder()

    /// A server that has answered a zero and no flush, and is killed.
    private func zeroAndDie(_ path: String) throws {
        let server = try Server([path, state.option, "memory=8M"], Server.Options(isVerbose: false))
        let client = try Client(server)
        try client.zero(65536, at: 131072)
        kill(server.pid, SIGKILL)
        #expect(try server.process.wait() == 128 + SIGKILL)
        withExtendedLifetime(client) {}
    }

    /// What a server says that does not start.
    private func refusal(_ path: String, memory: String) throws -> String {
        let refused = try Subprocess.run(
            "nbdkit", "-f", "-U", "-", try Plugin.built(), path, state.option, memory, "--run", "true")
        #expect(refused.status != 0)
        return refused.output
    }

    /// With another memory=, the record goes: the image is synced before. If that fails, the server does not start, and
    /// never will as if nothing had happened.
    @Test(.enabled(if: TroubledDisk.isAvailable, TroubledDisk.needs)) func anotherMemory() throws {
        let disk = try TroubledDisk(Image.bytes(0..<1 << 20))
        try zeroAndDie(disk.path)
        try disk.begin(.syncsFail)
        let first = try refusal(disk.path, memory: "memory=16M")
        #expect(first.contains("what it was given may not be durable: \(disk.path): the sync failed"), "\(first)")
        disk.end(.syncsFail)
        let second = try refusal(disk.path, memory: "memory=16M")
        #expect(second.contains("which has lost data of \(disk.path) in a failed sync"), "\(second)")
        let server = try Server([disk.path, state.option, "memory=8M"], Server.Options(isVerbose: false))
        let client = try Client(server)
        #expect(Client.code { try client.flush() } == EIO)
    }

    /// If the sync succeeds, the server with another memory= starts.
    @Test(.enabled(if: TroubledDisk.isAvailable, TroubledDisk.needs)) func anotherMemoryAndAGoodSync() throws {
        let disk = try TroubledDisk(Image.bytes(0..<1 << 20))
        try zeroAndDie(disk.path)
        let calls = try disk.calls.count
        let server = try Server([disk.path, state.option, "memory=16M"], Server.Options(isVerbose: false))
        #expect(try disk.calls.dropFirst(calls).contains { $0.kind == "sync" })
        #expect(try disk.durable[131072..<196608].allSatisfy { $0 == 0 })
        #expect(try server.stop() == 0)
    }

    /// The next server syncs such an image by itself. If that fails, the log says so, and a client hears of it, however
    /// late it comes.
    @Test(.enabled(if: TroubledDisk.isAvailable, TroubledDisk.needs), arguments: [false, true])
    func nobodyComes(isFailing: Bool) throws {
        let disk = try TroubledDisk(Image.bytes(0..<1 << 20))
        let scratch = Scratch()
        let exports = ["export=disk:\(disk.path)", state.option, "memory=8M", "control=\(scratch.path("control"))"]
        let first = try Server(exports, Server.Options(isVerbose: false))
        let client = try Client(first, "disk")
        try client.zero(65536, at: 131072)
        try Restart.kill(first, beside: client)
        let calls = try disk.calls.count
        if isFailing { try disk.begin(.syncsFail) }
        let second = try Server(exports, Server.Options(isVerbose: false))
        try disk.waitForCall("sync", beyond: calls)
        if isFailing {
            try Patience.wait(seconds: 60, "no line in the log") {
                second.log.contains("what the last server had given to the image is not durable") ? () : nil
            }
            disk.end(.syncsFail)
        } else {
            try Patience.wait(seconds: 60, "the zero is not durable") {
                (try? disk.durable[131072..<196608].allSatisfy { $0 == 0 }) == true ? () : nil
            }
        }
        // An order of a person is no client that hears of a loss, and the first client that has heard is enough.
        let control = try ControlConnection(scratch.path("control"))
        #expect(try control.ask("flush disk")["ok"] as? Bool == !isFailing)
        do {
            let late = try Client(second, "disk")
            #expect(Client.code { try late.flush() } == (isFailing ? EIO : nil))
        }
        try Patience.wait(seconds: 60, "the image stays open") {
            (try? control.ask("figures")["images"] as? [Any])?.isEmpty == true ? () : nil
        }
        #expect(Client.code { try Client(second, "disk").flush() } == nil)
        withExtendedLifetime(client) {}
    }

    /// Such an image has vanished: the server does not start, because nobody could hear of a loss.
    @Test func itHasVanished() throws {
        let folder = try ImageFolder(["bad", "good"])
        let first = try folder.server(state.option, "memory=8M")
        let client = try Client(first, "bad")
        try client.zero(4096, at: 0)
        try Restart.kill(first, beside: client)
        unlink(folder.path("bad"))
        let refused = try Restart.refusal(["dir=\(folder.directory)"], state)
        #expect(refused.contains("what \(folder.path("bad")) was given may not be durable, but: "), "\(refused)")
        #expect(refused.contains("there is no such file") && refused.contains("--discard"), "\(refused)")
    }

    /// Servers that die young again and again are not started again, although no pages are owed.
    @Test func shortLives() throws {
        let image = try Image(size: 1 << 20)
        for _ in 0..<4 { try zeroAndDie(image.path) }
        let refused = try refusal(image.path, memory: "memory=8M")
        #expect(refused.contains("died within a minute, and what \(image.path) was given may not be durable; "))
        #expect(refused.contains("--write-out"))
        try state.noteLoss(EIO)
        let lost = try refusal(image.path, memory: "memory=8M")
        #expect(lost.contains("no client has heard that a failed sync has lost data of \(image.path)"), "\(lost)")
    }
}
