import Glibc
import TestSupport
import Testing

/// Common tools write an export.
@Suite struct ToolTests {
    private func uri(_ server: Server) -> String { "nbd+unix:///?socket=\(server.socket)" }

    private func expectSuccess(_ arguments: [String], seconds: Int = 120) throws -> String {
        let result = try Subprocess.run(arguments, seconds: seconds)
        #expect(result.status == 0, "\(arguments): \(result.output)")
        return result.output
    }

    /// nbdcopy into an export and out of it gives the same bytes, with four connections and holes as zeroes. The export
    /// is flushed at the end, so the image is equal to the source while the server is still there.
    @Test(arguments: ["1M", "64M"])
    func nbdcopyBothWays(_ memory: String) throws {
        let scratch = Scratch()
        let (source, path, back) = (scratch.path("source"), scratch.path("disk.img"), scratch.path("back"))
        for place in [0, 5 << 20, 11 << 20] {
            try Files.write(Image.bytes(0..<2_000_000, seed: 3), to: source, at: place)
        }
        try Files.resize(source, to: 24_000_007)
        // Not zeroes: what nbdcopy zeroes must be zeroed.
        try Files.write([UInt8](repeating: 0xee, count: 24_000_007), to: path)
        let server = try Server([path, "memory=\(memory)", "dirty-age=3600"], Server.Options(isVerbose: false))
        _ = try expectSuccess(["nbdcopy", "--flush", source, uri(server)])
        #expect(try Subprocess.run("cmp", source, path).status == 0)
        _ = try expectSuccess(["nbdcopy", uri(server), back])
        #expect(try Subprocess.run("cmp", source, back).status == 0)
    }

    /// qemu's own reads verify qemu's own writes, zeroes, discards and flushes, and what is on the image after it has
    /// left.
    @Test(.enabled(if: Subprocess.exists("qemu-io"), "qemu-io is part of qemu-utils"))
    func qemuIO() throws {
        let image = try Image(size: 8 << 20)
        let server = try Server(image, "memory=2M", "dirty-age=3600")
        let commands = [
            "write -P 0x11 0 1M", "write -P 0x22 1234 5678", "write -f -P 0x33 3M 64k", "write -z 2M 512k",
            "write -z -u 4M 512k", "discard 5M 1M", "writev -P 0x44 7M 4k 8k 512", "flush",
            "read -P 0x11 0 1234", "read -P 0x22 1234 5678", "read -P 0x33 3M 64k", "read -P 0 2M 512k",
            "read -P 0 4M 512k",
            "read -P 0 5M 1M", "read -P 0x44 7M 12k",
        ]
        let arguments = commands.flatMap { ["-c", $0] }
        let output = try expectSuccess(
            ["qemu-io", "-f", "raw", "-t", "writeback", "-d", "unmap", uri(server)] + arguments)
        #expect(!output.contains("failed"), "\(output)")
        var wanted = image.bytes
        Bytes.put([UInt8](repeating: 0x11, count: 1 << 20), into: &wanted, at: 0)
        Bytes.put([UInt8](repeating: 0x22, count: 5678), into: &wanted, at: 1234)
        Bytes.put([UInt8](repeating: 0x33, count: 64 << 10), into: &wanted, at: 3 << 20)
        Bytes.put([UInt8](repeating: 0x44, count: 12_800), into: &wanted, at: 7 << 20)
        for range in [2 << 20..<(2 << 20) + (512 << 10), 4 << 20..<(4 << 20) + (512 << 10), 5 << 20..<6 << 20] {
            Bytes.zero(range, of: &wanted)
        }
        #expect(try server.stop() == 0)
        try Bytes.check(try Files.bytes(image.path), wanted, "the image")
    }

    /// fio writes at random in mixed sizes, and verifies each block's checksum. It finds nothing wrong while another
    /// job trims a range of its own, in 16 MiB of memory: 256 MiB, or 4 GiB and more with FLEXPAGE_SOAK=1.
    @Test(.enabled(if: Fio.isThere, "fio with its nbd engine"))
    func fio() throws {
        let scratch = Scratch()
        let path = scratch.path("disk.img")
        let (verified, trimmed, loops) = Soak.isOn ? (1 << 30, 256 << 20, 5) : (128 << 20, 64 << 20, 2)
        try Files.resize(path, to: verified + trimmed)
        let server = try Server([path, "memory=16M"], Server.Options(isVerbose: false))
        let report = try Fio.run(
            uri(server), scratch,
            jobs: [
                """
                [verify]
                rw=randwrite
                bssplit=512/5:4k/45:12k/10:16k/15:64k/20:256k/5
                offset=0
                size=\(verified)
                loops=\(loops)
                verify=crc32c
                verify_fatal=1
                """,
                """
                [trim]
                rw=randtrim
                bs=64k
                offset=\(verified)
                size=\(trimmed)
                loops=\(loops)
                """,
            ])
        #expect(report.status == 0, "\(report.output)")
        #expect(try server.stop() == 0)
        #expect(!server.log.contains("error"), "\(server.log)")
    }
}
