import Glibc
import TestSupport
import Testing

/// The end of serving: what was answered is on the image when the process has gone.
@Suite struct EndingTests {
    /// SIGTERM comes while a client is idle. nbdkit waits for the client, and then calls no close for it. Everything
    /// that was answered is on the image when the process has ended.
    @Test(arguments: Pager.allCases) func anIdleClient(_ pager: Pager) throws {
        let image = try Image(size: 8 << 20)
        let server = try Server(
            image, "memory=32M", "dirty-age=3600", "dirty=90%", options: Server.Options(pager: pager))
        let client = try Client(server)
        let new = Image.bytes(0..<8 << 20, seed: 99)
        try client.write(new, at: 0)
        try image.check(try Files.bytes(image.path), at: 0)
        kill(server.pid, SIGTERM)
        // Only the signal can have brought it there: then nbdkit knows of it, with the client still there.
        try Patience.wait(seconds: 60, "it has not gone out") { (try? Files.bytes(image.path)) == new ? () : nil }
        #expect(!server.process.hasEnded)
        client.vanish()
        #expect(try server.process.wait() == 0)
        try Bytes.check(try Files.bytes(image.path), new, "the image")
        #expect(!server.log.contains("error:"))
    }

    /// The same with clients in the middle of writing: each sector of the image holds the last value that was answered,
    /// or one that was asked for later.
    @Test(arguments: ["memory=2M", "memory=64M"], Pager.allCases)
    func busyClients(_ memory: String, _ pager: Pager) throws {
        let scratch = Scratch()
        let path = scratch.path("disk.img")
        let sectors = 16_384
        try Files.resize(path, to: sectors * SectorLedger.sectorSize)
        let ledger = SectorLedger(sectors: sectors)
        for round in 0..<5 {
            let server = try Server(
                [path, memory, "dirty-age=3600"], Server.Options(isVerbose: false, pager: pager))
            try SectorWriter.run(3, ledger, server, seed: UInt64(round), flushes: 2, then: SIGTERM)
            #expect(try server.process.wait() == 0)
            try ledger.check(try Files.bytes(path), keeps: .answered)
        }
    }

    /// What a client wrote and did not flush goes to the image when it leaves, with a good-bye or without one, while
    /// the server serves on.
    @Test(arguments: [true, false], Pager.allCases)
    func disconnect(_ saysGoodBye: Bool, _ pager: Pager) throws {
        let image = try Image(size: 4 << 20)
        let server = try Server(
            image, "memory=32M", "dirty-age=3600", "dirty=90%", options: Server.Options(pager: pager))
        let stays = try Client(server)
        let new = Image.bytes(0..<4 << 20, seed: 99)
        do {
            let leaves = try Client(server)
            try leaves.write(new, at: 0)
            if !saysGoodBye { leaves.vanish() }
        }
        try Patience.wait(seconds: 60, "it has not gone out") { (try? Files.bytes(image.path)) == new ? () : nil }
        try Bytes.check(try stays.read(4 << 20, at: 0), new)
    }

    /// The end writes out pages that only the server knows to be dirty. It is a daemon, without -f, ended by SIGTERM
    /// after its client has been killed.
    @Test(arguments: Pager.allCases) func aDaemon(_ pager: Pager) throws {
        let image = try Image(size: 4 << 20)
        let daemon = try Daemon(image, "memory=32M", "dirty-age=3600", pager: pager)
        let client = try Client(socket: daemon.socket)
        let new = Image.bytes(0..<4 << 20, seed: 99)
        try client.write(new, at: 0)
        kill(daemon.pid, SIGTERM)
        client.vanish()
        try daemon.waitUntilGone()
        try Bytes.check(try Files.bytes(image.path), new, "the image")
    }
}
