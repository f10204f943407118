import CLibNBD
import Glibc
import TestSupport
import Testing

/// Clients that vanish with answers under way end an nbdkit of certain versions. No page that others were answered is
/// missing then.
@Suite(
    .serialized,
    .enabled(if: Nbdkit.abortsWhenAClientVanishes, "this nbdkit does not abort when a client vanishes"))
struct VanishingClientTests {
    private static let sectors = 16_384
    private static let writers = 4
    /// What is written is followed by data, so that a client that reads all of it has many answers under way.
    private static let size = 72 << 20
    private static var rounds: Int { Soak.isOn ? 100 : 2 }

    /// Makes clients vanish, as `vanish` does it, until the server has aborted.
    private func rounds(_ vanish: (Server, Scratch) throws -> Void) throws {
        let scratch = Scratch()
        let path = scratch.path("disk.img")
        try Files.resize(path, to: Self.sectors * SectorLedger.sectorSize)
        try Files.write(Image.bytes(0..<Self.size / 2, seed: 1), to: path, at: Self.size / 2)
        let ledger = SectorLedger(sectors: Self.sectors)
        for round in 0..<Self.rounds {
            let server = try Server([path, "memory=32M", "dirty-age=3600"], Server.Options(isVerbose: false))
            try SectorWriter.run(Self.writers, ledger, server, seed: UInt64(round), flushes: 1 + round % 3) {
                try Patience.wait(seconds: 60, "the server does not abort") {
                    if server.process.hasEnded { return () }
                    try? vanish(server, scratch)
                    return nil
                }
            }
            #expect(try server.process.wait() == 128 + SIGABRT)
            #expect(server.log.contains("last will: "), "\(server.log)")
            let written = try Files.bytes(path, upTo: Self.sectors * SectorLedger.sectorSize)
            do { try ledger.check(written, keeps: .answered) } catch { throw Trouble("round \(round): \(error)") }
        }
    }

    /// A client closes its socket with reads under way.
    @Test func aClosedSocket() throws {
        try rounds { server, _ in
            let client = try Client(server)
            try client.vanish(reading: 32, of: 1 << 20, below: Self.size)
            usleep(50_000)
        }
    }

    /// nbdcopy is killed.
    @Test func nbdcopyIsKilled() throws {
        try rounds { server, scratch in
            let copy = try Subprocess(
                ["nbdcopy", "nbd+unix:///?socket=\(server.socket)", scratch.path("copy")],
                outputPath: scratch.path("output"))
            usleep(UInt32.random(in: 20_000..<100_000))
            kill(copy.pid, SIGKILL)
            _ = try copy.wait()
        }
    }

    /// nbdcopy runs out of room in its target.
    @Test(.enabled(if: Machine.canMount("tmpfs"), "needs root and a tmpfs"))
    func nbdcopyToAFullDisk() throws {
        let disk = try Mount("tmpfs", options: "mode=755,size=4M")
        try rounds { server, scratch in
            _ = try Subprocess.run(
                "nbdcopy", "nbd+unix:///?socket=\(server.socket)", disk.scratch.path("copy"))
        }
    }

    /// qemu-img is interrupted.
    @Test(.enabled(if: Subprocess.exists("qemu-img"), "qemu-img is part of qemu-utils"))
    func qemuImgIsInterrupted() throws {
        try rounds { server, scratch in
            let copy = try Subprocess(
                [
                    "qemu-img", "convert", "-f", "raw", "-O", "raw", "-m", "16", "-W",
                    "nbd+unix:///?socket=\(server.socket)", scratch.path("copy"),
                ], outputPath: scratch.path("output"))
            usleep(UInt32.random(in: 50_000..<200_000))
            kill(copy.pid, SIGINT)
            _ = try copy.wait()
        }
    }
}

extension Client {
    /// Asks for `count` reads at random and closes the socket without taking an answer.
    func vanish(reading count: Int, of bytes: Int, below size: Int) throws {
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 4096)
        defer { buffer.deallocate() }
        for _ in 0..<count {
            let offset = UInt64(Int.random(in: 0..<size / bytes) * bytes)
            if nbd_aio_pread(handle, buffer, bytes, offset, nbd_completion_callback(), 0) == -1 { break }
        }
        nbd_poll(handle, 0)
        vanish()
    }
}
