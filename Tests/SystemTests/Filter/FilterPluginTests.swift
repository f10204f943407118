import CLibNBD
import Glibc
import TestSupport
import Testing

/// Every plugin that is installed, below the filter: it is served exactly, or refused in a sentence. None crashes.
@Suite struct FilterPluginTests {
    /// A plugin with parameters. In them DIR is a directory with a few files, and FILE an image.
    struct Source: CustomTestStringConvertible {
        let plugin: String
        let parameters: [String]
        let outcome: Outcome

        init(_ plugin: String, _ parameters: String..., outcome: Outcome = .served) {
            self.plugin = plugin
            self.parameters = parameters
            self.outcome = outcome
        }

        var testDescription: String { ([plugin] + parameters).joined(separator: " ") }
    }

    enum Outcome {
        /// As without the filter, byte for byte.
        case served
        /// The same if the plugin can be used here at all.
        case servedIfPossible
        /// As long as without the filter. It is made anew, with other identifiers, each time.
        case servedAnew
        /// The filter says why not.
        case refused
        /// There is nothing behind it: the log says so, and the client gets no connection.
        case absent
    }

    static let sources = [
        Source("cc", "DIR/source.c", outcome: .servedIfPossible),
        Source("cdi", "name=none.invalid/none", outcome: .absent),
        Source("curl", "file://FILE"),
        Source("curl", "http://127.0.0.1:9/none", outcome: .absent),
        Source("data", "( 0x55 0xAA )*1000 @65536 1 2 3", "size=1M"),
        Source("eval", "get_size=echo 1M", "pread=dd if=FILE bs=64k skip=$4 count=$3 iflag=skip_bytes,count_bytes"),
        Source("eval", "open=echo no such disk >&2; exit 1", "get_size=echo 1M", "pread=true", outcome: .absent),
        Source("example1"),
        Source("example2", "file=FILE"),
        Source("example3", "size=1M"),
        Source("example4", "size=1M", outcome: .servedIfPossible),
        Source("file", "FILE"),
        Source("file", "dir=DIR", outcome: .refused),
        Source("floppy", "DIR"),
        Source("full", "1M"),
        Source("info", "mode=time", outcome: .refused),
        Source("iso", "DIR", outcome: .servedIfPossible),
        Source("linuxdisk", "DIR", outcome: .servedAnew),
        Source("memory", "1M"),
        Source("nbd", "command=nbdkit", "arg=pattern", "arg=1M"),
        Source("nbd", "command=nbdkit", "arg=pattern", "arg=1M", "shared=true"),
        Source("nbd", "command=nbdkit", "arg=pattern", "arg=1M", "dynamic-export=false"),
        Source("nbd", "socket=/nonexistent", outcome: .absent),
        Source("nbd", "socket=/nonexistent", "dynamic-export=true", outcome: .refused),
        Source("null", "1M"),
        Source("ondemand", "dir=DIR", "size=1M", outcome: .refused),
        Source("partitioning", "FILE"),
        Source("pattern", "1M"),
        Source("random", "1M", "seed=7"),
        Source("sh", "DIR/source.sh"),
        Source("sparse-random", "4M", "seed=7"),
        // That of nbdkit 1.32.5 crashes by itself.
        Source("split", "file=FILE", "file=DIR/other", outcome: .servedIfPossible),
        Source("ssh", "host=127.0.0.1", "port=9", "path=/none", outcome: .absent),
        Source("tmpdisk", "16M", outcome: .refused),
        Source("torrent", "DIR/none.torrent", outcome: .absent),
        Source("zero"),
    ]

    /// What clients read through the filter is what they read without it. Sources that serve each client something else
    /// are refused at the start. For a source that is not there nbdkit serves on, and the client is refused.
    @Test(arguments: sources) func served(_ source: Source) throws {
        let scratch = try Self.files()
        let parameters = source.parameters.map { Self.filled($0, scratch) }
        let (bare, filtered) = (scratch.path("bare"), scratch.path("filtered"))
        if source.outcome == .servedIfPossible {
            // One that crashes by itself may not do it each time.
            for _ in 0..<4 where try Self.copy([source.plugin] + parameters, to: bare).status >= 128 { return }
        }
        let result = try Self.copy([try Filter.argument(), source.plugin] + parameters + ["memory=4M"], to: filtered)
        #expect(result.status < 128 && !result.output.contains("Assertion"), "\(result.output)")
        switch source.outcome {
        case .served, .servedIfPossible, .servedAnew:
            let wanted = try Self.copy([source.plugin] + parameters, to: bare)
            if wanted.status != 0, source.outcome != .served {
                return #expect(result.status != 0)
            }
            #expect(wanted.status == 0, "\(wanted.output)")
            #expect(result.status == 0, "\(result.output)")
            let (found, bytes) = (try Files.bytes(filtered), try Files.bytes(bare))
            #expect(found.count == bytes.count)
            if source.outcome != .servedAnew { try Bytes.check(found, bytes, source.testDescription) }
        case .refused:
            #expect(result.status == 1)
            #expect(result.output.contains("can serve each client something else"), "\(result.output)")
        case .absent:
            #expect(result.status == 1)
            #expect(result.output.contains("error: "), "\(result.output)")
        }
    }

    /// The ext2 filter can choose a file by the export's name.
    @Test func ext2() throws {
        let scratch = try Self.files()
        let result = try Self.copy(
            [try Filter.argument(), "--filter=ext2", "file", scratch.path("disk.img"), "ext2file=exportname"],
            to: scratch.path("copy"))
        #expect(result.status == 1)
        #expect(result.output.contains("can serve each client something else"), "\(result.output)")
    }

    /// What lets in clients by the name that they give is refused below, where it would see one name only.
    @Test(arguments: ["exportname-strict=true", "exportname-strict=1", "exportname_strict=yes"])
    func strictNames(_ key: String) throws {
        let scratch = try Self.files()
        let arguments = ["--filter=exportname", "file", scratch.path("disk.img"), key, "exportname="]
        let below = try Self.copy([try Filter.argument()] + arguments, to: scratch.path("copy"))
        #expect(below.status == 1)
        #expect(below.output.contains("would judge only the name that the first client gives"), "\(below.output)")
        let above = try Self.copy(
            ["--filter=exportname", try Filter.argument()] + arguments.dropFirst(), to: scratch.path("copy"))
        #expect(above.status == 0, "\(above.output)")
        let without = try Self.copy(
            [try Filter.argument()] + arguments.map { $0 == key ? "exportname-strict=false" : $0 },
            to: scratch.path("copy"))
        #expect(without.status == 0, "\(without.output)")
    }

    /// A script is not told what a client wants. The log says so, once.
    @Test func aScriptIsNotToldTheName() throws {
        let scratch = try Self.files()
        let server = try Server(
            [scratch.path("files/source.sh"), "memory=4M"],
            Server.Options(isVerbose: false, pager: .filter, plugin: "sh"))
        _ = try Client(server)
        #expect(!server.log.contains("is not told"))
        for name in ["one", "two\u{1b}"] { _ = try Client(server, name) }
        let lines = server.log.split(separator: "\n").filter { $0.contains("is not told") }
        #expect(lines.count == 1 && lines[0].contains("a client wants the export \"one\", which the sh plugin"))
    }

    /// Clients see the description of what is below.
    @Test func description() throws {
        let scratch = try Self.files()
        let server = try Server(
            [scratch.path("disk.img"), "memory=4M", "exportdesc=fixed:an old disk"],
            Server.Options(isVerbose: false, pager: .filter, below: ["--filter=exportname"]))
        let client = try Client()
        try Client.check(nbd_set_full_info(client.handle, true))
        try Client.check(nbd_connect_unix(client.handle, server.socket))
        let text = try #require(nbd_get_export_description(client.handle))
        defer { free(text) }
        #expect(String(cString: text) == "an old disk")
    }

    /// An error that says what it is does not name the next one, which does not say it.
    @Test(.enabled(if: CompiledPlugin.canBeBuilt, "needs cc")) func errorsOfTheirOwn() throws {
        let scratch = Scratch()
        let plugin = try CompiledPlugin.build(
            """
            static int my_pread(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
            {
                (void)handle, (void)flags;
                memset(buffer, 0, count);
                if (offset < 65536)
                    return 0;
                if (count > 4096)
                    nbdkit_set_error(EPERM);
                return -1;
            }
            """, callbacks: ".pread = my_pread", in: scratch)
        let server = try Server(
            ["memory=4M", "readahead=off"], Server.Options(isVerbose: false, pager: .filter, plugin: plugin))
        let client = try Client(server)
        // A wide read fails, and then one of a single page.
        #expect(Client.code { _ = try client.read(65_536, at: 65_536) } == EIO)
        _ = try client.read(4096, at: 0)
    }

    /// A plugin that lives with a fault goes on to live with it: this one gives a page of memory its access when it is
    /// touched.
    @Test(.enabled(if: CompiledPlugin.canBeBuilt, "needs cc")) func aFaultOfItsOwn() throws {
        let scratch = Scratch()
        let plugin = try CompiledPlugin.build(
            """
            #include <signal.h>
            #include <sys/mman.h>
            static char *page;
            static void handle(int number) { (void)number; mprotect(page, 4096, PROT_READ | PROT_WRITE); }
            static void my_load(void)
            {
                page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                signal(SIGSEGV, handle);
            }
            static int my_pread(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
            {
                (void)handle, (void)offset, (void)flags;
                *(volatile char *)page = 7;
                memset(buffer, *page, count);
                return 0;
            }
            """, callbacks: ".pread = my_pread, .load = my_load", in: scratch)
        let result = try Self.copy([try Filter.argument(), plugin, "memory=4M"], to: scratch.path("copy"))
        #expect(result.status == 0, "\(result.output)")
        try Bytes.check(try Files.bytes(scratch.path("copy")), .init(repeating: 7, count: 1 << 20), "the copy")
    }

    /// A plugin has the stacks that it has without the filter, whichever thread calls it: this one puts 400 KiB on its
    /// own.
    @Test(.enabled(if: CompiledPlugin.canBeBuilt, "needs cc")) func aLargeStack() throws {
        let scratch = Scratch()
        let plugin = try CompiledPlugin.build(
            """
            static int my_pread(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
            {
                (void)handle, (void)offset, (void)flags;
                volatile char bytes[400 << 10];
                for (size_t index = 0; index < sizeof bytes; index += 512)
                    bytes[index] = 7;
                memset(buffer, bytes[sizeof bytes - 512], count);
                return 0;
            }
            """, callbacks: ".pread = my_pread", in: scratch)
        let result = try Self.copy([try Filter.argument(), plugin, "memory=4M"], to: scratch.path("copy"))
        #expect(result.status == 0, "\(result.output)")
        try Bytes.check(try Files.bytes(scratch.path("copy")), .init(repeating: 7, count: 1 << 20), "the copy")
    }

    /// No plugin is left out.
    @Test func all() throws {
        let dump = try Subprocess.run("nbdkit", "--dump-config").output
        let line = try #require(dump.split(separator: "\n").first { $0.hasPrefix("plugindir=") })
        let known = Set(Self.sources.map(\.plugin)).union(["flexpage"])
        let names = try Files.names(String(line.dropFirst("plugindir=".count))).map {
            let name = $0.hasSuffix(".so") ? $0.dropLast(3) : $0[...]
            return String(name.dropFirst("nbdkit-".count).dropLast("-plugin".count))
        }
        #expect(names.contains("file"))
        for name in names where !known.contains(name) {
            // Nothing is known of its parameters.
            let result = try Self.copy([try Filter.argument(), name, "size=1M"], to: "/dev/null")
            #expect(result.status < 128, "\(name): \(result.output)")
        }
    }

    private static func filled(_ parameter: String, _ scratch: Scratch) -> String {
        guard let place = ["FILE", "DIR"].first(where: parameter.contains) else { return parameter }
        let parts = parameter.split(separator: place, maxSplits: 1, omittingEmptySubsequences: false)
        return parts[0] + (place == "FILE" ? scratch.path("disk.img") : scratch.path("files")) + parts[1]
    }

    /// What the parameters name.
    private static func files() throws -> Scratch {
        let scratch = Scratch()
        _ = try Image(in: scratch, size: 1 << 20)
        mkdir(scratch.path("files"), 0o755)
        try Files.write(Image.bytes(0..<1 << 20, seed: 3), to: scratch.path("files/other"))
        try Files.write(
            Array(
                """
                #!/bin/sh
                case "$1" in
                    get_size) echo 1M ;;
                    pread) dd if=\(scratch.path("disk.img")) bs=64k skip=$4 count=$3 iflag=skip_bytes,count_bytes ;;
                    *) exit 2 ;;
                esac

                """.utf8), to: scratch.path("files/source.sh"))
        chmod(scratch.path("files/source.sh"), 0o755)
        try Files.write(
            Array(
                """
                #include <stdint.h>
                #include <string.h>
                #define NBDKIT_API_VERSION 2
                #include <nbdkit-plugin.h>
                #define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_CONNECTIONS
                static void *my_open(int readonly) { (void)readonly; return NBDKIT_HANDLE_NOT_NEEDED; }
                static int64_t my_size(void *handle) { (void)handle; return 1 << 20; }
                static int my_pread(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
                {
                    (void)handle, (void)flags;
                    for (uint32_t index = 0; index < count; index++)
                        ((char *)buffer)[index] = (char)((offset + index) * 7 >> 3);
                    return 0;
                }
                static struct nbdkit_plugin plugin = {
                    .name = "mine", .open = my_open, .get_size = my_size, .pread = my_pread,
                };
                NBDKIT_REGISTER_PLUGIN(plugin)

                """.utf8), to: scratch.path("files/source.c"))
        return scratch
    }

    /// Copies an export to a file.
    private static func copy(_ arguments: [String], to path: String) throws -> (status: Int32, output: String) {
        try Subprocess.run(["nbdkit", "-U", "-"] + arguments + ["--run", "nbdcopy \"$uri\" - > \(path)"])
    }
}
