import Glibc
import TestSupport
import Testing

/// Layers that bear one call at a time, in one connection or in all: a script sees that no two calls overlap that must
/// not, though the filter has threads that nbdkit knows nothing of.
@Suite(.serialized) struct FilterModelTests {
    private static let size = 4 << 20

    /// The script of an image in a directory. Each call enters a room: the one that all share, or that of its
    /// connection. Whoever finds it taken leaves a note. The second word of a call is the handle of its connection.
    private static func script(_ scratch: Scratch, model: String) -> String {
        let directory = scratch.directory
        let room =
            switch model {
            case "parallel": "/nonexistent/$$"
            case "serialize_requests": "\(directory)/room.$handle"
            default: "\(directory)/room"
            }
        let isGuarded = model != "parallel"
        return """
            #!/bin/sh
            exec 2>>\(directory)/said
            handle=$2
            dd="dd bs=64k status=none"
            enter() {
                echo "$*" >> \(directory)/calls
                \(isGuarded ? "mkdir \(room) || echo \"$*\" >> \(directory)/overlaps" : ":")
            }
            leave() { \(isGuarded ? "rmdir \(room)" : ":"); }
            case "$1" in
                thread_model) echo \(model) ;;
                config|config_complete|get_ready|after_fork) ;;
                open)
                    \(model == "serialize_connections"
                        ? "mkdir \(directory)/connection || echo \"two connections\" >> \(directory)/overlaps" : ":")
                    echo open >> \(directory)/calls
                    echo $$ ;;
                close) \(model == "serialize_connections" ? "rmdir \(directory)/connection" : ":") ;;
                get_size) echo \(size) ;;
                can_write|can_flush|can_multi_conn|can_zero|can_trim|can_extents) ;;
                can_fua) echo native ;;
                pread) enter "$@"; $dd if=\(directory)/disk.img iflag=skip_bytes,count_bytes skip=$4 count=$3; leave ;;
                pwrite) enter "$@"; $dd of=\(directory)/disk.img oflag=seek_bytes seek=$4 conv=notrunc; leave ;;
                flush) enter "$@"; leave ;;
                zero|trim)
                    enter "$@"
                    head -c $3 /dev/zero | $dd of=\(directory)/disk.img oflag=seek_bytes seek=$4 conv=notrunc
                    leave ;;
                extents) enter "$@"; echo $4 $3; leave ;;
                *) exit 2 ;;
            esac

            """
    }

    /// Two clients write, read in order, zero and ask for extents, with reading ahead and writing back, while a third
    /// comes and goes. Nothing overlaps, and the image is right in the end.
    @Test(arguments: ["serialize_connections", "serialize_all_requests", "serialize_requests", "parallel"])
    func callsDoNotOverlap(_ model: String) throws {
        let image = try Image(size: Self.size)
        let scratch = image.scratch
        try Files.write(Array(Self.script(scratch, model: model).utf8), to: scratch.path("script"))
        chmod(scratch.path("script"), 0o755)
        let server = try Server(
            [scratch.path("script"), "memory=2M", "dirty-age=100ms"],
            Server.Options(isVerbose: false, pager: .filter, plugin: "sh"))
        // nbdkit lets in one client after the other where connections are serialized.
        let count = model == "serialize_connections" ? 1 : 3
        let part = Self.size / 4
        let run = { (body: (Int) throws -> Void) throws in
            do { try Threads.run(count, body) } catch { throw Trouble("\(error)\n\(server.log.suffix(3000))") }
        }
        try run { number in
            if number == 2 { for _ in 0..<5 { try image.checkRead(try Client(server), 65_536, at: 3 * part) } }
            guard number < 2 else { return }
            let client = try Client(server)
            for offset in stride(from: 0, to: part, by: 64 << 10) {
                let (mine, other) = (number * part + offset, 2 * part + offset)
                try client.write(Image.bytes(mine..<mine + 60_000, seed: 2), at: mine)
                try image.checkRead(client, 64 << 10, at: other)
                if offset % (256 << 10) == 0 {
                    try client.zero(4096, at: mine + 8192)
                    _ = try client.blockStatus(65_536, at: other)
                    try client.flush()
                }
            }
        }
        #expect(try server.stop() == 0, "\(server.log.suffix(2000))")
        let overlaps = (try? Files.text(scratch.path("overlaps"))) ?? ""
        #expect(overlaps.isEmpty, "\(overlaps.prefix(1000))")
        let said = try Files.text(scratch.path("said"))
        #expect(said.isEmpty, "\(said.prefix(1000))")
        let opens = try Files.text(scratch.path("calls")).split(separator: "\n").count { $0 == "open" }
        #expect(model == "serialize_requests" ? opens > 1 : opens == 1, "\(opens) connections")
        var wanted = image.bytes
        for number in 0..<min(count, 2) {
            for offset in stride(from: number * part, to: (number + 1) * part, by: 64 << 10) {
                Bytes.put(Image.bytes(offset..<offset + 60_000, seed: 2), into: &wanted, at: offset)
                if offset % (256 << 10) == 0 { Bytes.zero(offset + 8192..<offset + 12_288, of: &wanted) }
            }
        }
        try Bytes.check(try Files.bytes(image.path), wanted, "the image")
    }

    /// Errors of a layer that says what they are come through; those of one that does not are "input/output error". The
    /// layer is still there all the while, and the next request succeeds.
    @Test func errorsComeThrough() throws {
        let image = try Image(size: 1 << 20)
        let scratch = image.scratch
        let (trouble, dd) = (scratch.path("trouble"), "dd bs=64k status=none")
        let fail = "if [ $4 -ge 524288 ] && [ -e \(trouble) ]; then cat \(trouble) >&2; exit 1; fi; "
        let server = try Server(
            [
                "thread_model=echo parallel", "get_size=echo \(1 << 20)", "can_write=true", "can_flush=true",
                "flush=true",
                "pread=\(fail)\(dd) if=\(image.path) iflag=skip_bytes,count_bytes skip=$4 count=$3",
                "pwrite=\(fail)\(dd) of=\(image.path) oflag=seek_bytes seek=$4 conv=notrunc",
                "memory=8M", "readahead=off", "dirty-age=3600",
            ], Server.Options(pager: .filter, plugin: "eval"))
        let client = try Client(server)
        try image.checkRead(client, 4096, at: 0)
        for (number, (name, code)) in [("ENOSPC", ENOSPC), ("EPERM", EPERM), ("EIO", EIO), ("nothing", EIO)]
            .enumerated()
        {
            try Files.resize(trouble, to: 0)
            try Files.write(Array("\(name) is the matter\n".utf8), to: trouble)
            let offset = (512 << 10) + number * 65_536
            #expect(Client.code { _ = try client.read(4096, at: offset) } == code, "\(name)")
            let new = [UInt8](repeating: 7, count: 8192)
            try client.write(new, at: offset + 8192)
            #expect(Client.code { try client.flush() } == code, "\(name)")
            unlink(trouble)
            try client.flush()
            try image.checkRead(client, 4096, at: offset)
            try Bytes.check(Array(try Files.bytes(image.path)[offset + 8192..<offset + 16_384]), new, "the image")
        }
        #expect(!server.log.contains("does not answer"))
    }
}
