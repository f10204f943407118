import Glibc
import TestSupport
import Testing

/// The installed file: what it exports, what it needs, what it says of itself.
@Suite struct ArtefactTests {
    /// Nothing is exported but nbdkit's entry and our debug flags. So no other plugin or filter in the process can meet
    /// our symbols: nbdkit loads plugins RTLD_GLOBAL.
    @Test(.enabled(if: Subprocess.exists("nm"), "nm is part of binutils"))
    func exports() throws {
        let result = try Subprocess.run("nm", "-D", "--defined-only", try Plugin.built())
        let symbols = result.output.split(separator: "\n").compactMap { line -> Substring? in
            let fields = line.split(separator: " ")
            return fields.count == 3 && fields[1].allSatisfy(\.isUppercase) ? fields[2] : nil
        }
        #expect(symbols.contains("plugin_init"))
        #expect(symbols.allSatisfy { $0 == "plugin_init" || $0.hasPrefix("flexpage_debug_") }, "\(symbols)")
    }

    /// It is self-contained: it needs the C and C++ libraries that every machine with nbdkit can have, and no Swift.
    @Test(.enabled(if: Subprocess.exists("readelf"), "readelf is part of binutils"))
    func needs() throws {
        let result = try Subprocess.run("readelf", "-d", try Plugin.built())
        let needed = result.output.split(separator: "\n").filter { $0.contains("(NEEDED)") }.compactMap { line in
            line.split(separator: "[").last?.dropLast()
        }
        // The loader is libc's own.
        let allowed = ["libc.so", "libm.so", "libstdc++.so", "libgcc_s.so", "ld-linux"]
        #expect(!needed.isEmpty)
        #expect(needed.allSatisfy { library in allowed.contains { library.hasPrefix($0) } }, "\(needed)")
        let searched = result.output.split(separator: "\n").filter { $0.contains("PATH)") }
        #expect(searched.allSatisfy { $0.hasSuffix("[$ORIGIN]") }, "it would look for libraries where it was built")
    }

    /// Nothing is left of what only tests have inside the pager: the Scheduler, its steps, and planted mistakes.
    @Test(.enabled(if: Subprocess.exists("nm"), "nm is part of binutils"))
    func leavesTestsBehind() throws {
        let symbols = try Subprocess.run("nm", try Plugin.built()).output
        #expect(symbols.contains("$s6Paging"), "there are no symbols to look at")
        for name in ["$s10Scheduling", "$s6Paging4Flaw", "$s6Paging8ScheduleO"] {
            #expect(!symbols.contains(name), "it has symbols of \(name)")
        }
    }

    /// --help has the options of the man page with their values, in its order, and the description.
    @Test func help() throws {
        let result = try Subprocess.run("nbdkit", try Plugin.built(), "--help")
        #expect(result.status == 0)
        let help = result.output.split(separator: "\n").drop { !$0.hasPrefix("[file=]") }
        let terms = help.filter { !$0.hasPrefix(" ") }.map { String($0.split(separator: " ")[0]) }
        #expect(terms == (try optionsOfManual()))
        for word in ["[file=]<PATH>", "a hard bound (default 256M).", "direct=auto|on|off", "disk image", "flexpage"] {
            #expect(result.output.contains(word), "no \(word)")
        }
    }

    /// The options in the man page's SYNOPSIS, as --help writes them. Brackets around one mark it as optional.
    private func optionsOfManual() throws -> [String] {
        let sections = try Files.text(Plugin.manual).split(separator: "\n=head1 ")
        let words = sections.first { $0.hasPrefix("SYNOPSIS") }?.split { $0 == " " || $0 == "\n" } ?? []
        return words.filter { $0.contains("=") }.map { word in
            let option = word.first == "[" && word.last == "]" ? word.dropFirst().dropLast() : word
            return String(option).replacing(#/[A-Z]+/#) { "<\($0.output)>" }
        }
    }

    /// --dump-plugin has what scripts ask for: name, version, API, thread model, magic key, and our own lines.
    @Test func dumpPlugin() throws {
        let lines = try dump()
        for (key, value) in [
            "name": "flexpage", "api_version": "2", "max_thread_model": "parallel", "thread_model": "parallel",
            "magic_config_key": "file", "flexpage_min_memory": "1048576", "flexpage_max_memory": "8796093022208",
            "flexpage_default_memory": "268435456", "flexpage_page_size": "4096",
            "flexpage_max_flexpage_size": "1048576", "flexpage_max_images": "1024",
            "flexpage_max_image_size": "1152921504606846976", "flexpage_max_request": "67108864",
            "flexpage_state_format": "1", "flexpage_build": "release",
        ] {
            #expect(lines[key] == value, "\(key)")
        }
        let version = try #require(lines["version"])
        #expect(try Files.text(Plugin.manual).contains("\nThis page describes version \(version)."))
        #expect(["yes", "no"].contains(lines["flexpage_io_uring"]))
    }

    /// The options that --dump-plugin lists are those of the man page, in its order.
    @Test func dumpOfOptions() throws {
        let keys = try optionsOfManual().map { option in
            String(option.drop { $0 == "[" }.prefix { $0 != "=" })
        }
        #expect(keys.count > 10)
        #expect(try dump()["flexpage_options"] == keys.joined(separator: ","))
    }

    /// If the kernel does not permit io_uring, --dump-plugin says so, and still has all its other lines.
    @Test(.enabled(if: Machine.canTrace, "strace cannot trace here"))
    func dumpWithoutRings() throws {
        let refused = try dump(after: [
            "strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=io_uring_setup:error=EPERM", "nbdkit",
        ])
        #expect(refused["flexpage_io_uring"] == "no")
        #expect(refused.count == (try dump()).count)
    }

    /// The lines of --dump-plugin.
    private func dump(after command: [String] = ["nbdkit"]) throws -> [String: String] {
        let result = try Subprocess.run(command + [try Plugin.built(), "--dump-plugin"])
        #expect(result.status == 0)
        var lines: [String: String] = [:]
        for line in result.output.split(separator: "\n") {
            let (key, value) = (line.prefix { $0 != "=" }, line.drop { $0 != "=" }.dropFirst())
            #expect(lines.updateValue(String(value), forKey: String(key)) == nil, "\(key) is there twice")
        }
        return lines
    }

    /// It serves with the minimum of memory that it reports.
    @Test func minMemory() throws {
        let image = try Image(size: 3 << 20)
        let server = try Server(image, "memory=1048576")
        try image.checkRead(try Client(server), 3 << 20, at: 0)
    }
}
