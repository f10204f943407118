import Glibc
import Synchronization
import TestSupport
import Testing

/// Nothing outside the directory is ever served, whatever a client calls it and whoever changes the directory.
@Suite(.serialized) struct ExportNameTests {
    private func refusal(_ server: Server, _ name: String) -> String? {
        let before = server.log.count
        guard (try? Client(server, name)) == nil else { return nil }
        return String(server.log.dropFirst(before))
    }

    /// Each name that leads out, or to what is no image, is refused. One line says so, with the client, and with the
    /// name in quotation marks. A FIFO makes nobody wait.
    @Test func refusedNames() throws {
        let folder = try ImageFolder(["a.img", "inner"])
        try Files.write([1, 2, 3], to: folder.outside + "/secret")
        symlink("../outside/secret", folder.path("relative"))
        symlink("\(folder.outside)/secret", folder.path("absolute"))
        symlink(folder.path("a.img"), folder.path("absolute-inside"))
        symlink("..", folder.path("up"))
        symlink("/proc/self/fd/0", folder.path("magic"))
        symlink("loop", folder.path("loop"))
        mkfifo(folder.path("fifo"), 0o644)
        mkdir(folder.path("directory"), 0o755)
        symlink("/dev/null", folder.path("null"))
        let server = try folder.server("memory=4M", options: Server.Options(isVerbose: false))
        let wanted = [
            "nothing": "no such file", "..": "no such entry", ".": "no such entry", "/": "no such entry",
            "../outside/secret": "no such entry", "directory/../a.img": "no such entry", "a.img/": "no such entry",
            "./a.img": "no such entry", folder.path("a.img"): "no such entry", "/etc/passwd": "no such entry",
            "relative": "leads out of the directory", "absolute": "leads out of the directory",
            "absolute-inside": "leads out of the directory", "null": "leads out of the directory",
            "magic": "leads out of the directory", "up": "leads out of the directory", "loop": "failed",
            "fifo": "a FIFO", "directory": "a directory", String(repeating: "x", count: 255): "no such file",
            String(repeating: "x", count: 256): "no such entry", String(repeating: "/..", count: 1300): "no such entry",
        ]
        for (name, words) in wanted {
            let said = try #require(refusal(server, name), "\(name) is served")
            let start = "error: client process \(getpid()) of user \(getuid()) is refused: export \""
            #expect(said.contains("\(start)\(name.prefix(200))"), "\(said)")
            #expect(said.contains(words), "\(name): \(said)")
            #expect(said.split(separator: "\n").count == 1 && said.count < 1000, "\(said)")
        }
        let said = try #require(refusal(server, "x\n\u{1b}[2J\"\\\u{202e}y"))
        #expect(said.contains(#"export "x\x0a\x1b[2J\"\\\xe2\x80\xaey": "#), "\(said)")
        #expect(said.split(separator: "\n").count == 1)
        try folder.check(server, "a.img")
    }

    /// Names made of dangerous pieces, while a thread exchanges what is in the directory: each client that gets in
    /// reads an image of the directory.
    @Test func fuzz() throws {
        let folder = try ImageFolder(["f0", "f1", "f2"])
        let secret = [UInt8](repeating: 0x53, count: folder.size)
        for name in ["secret", "f0", "s0"] { try Files.write(secret, to: "\(folder.outside)/\(name)") }
        mkdir(folder.path("inner"), 0o755)
        for name in ["f0", "s0"] { link(folder.path("f1"), folder.path("inner/\(name)")) }
        let server = try folder.server("memory=4M", options: Server.Options(isVerbose: false))
        let seed = getenv("FLEXPAGE_SEED").flatMap { UInt64(String(cString: $0)) } ?? UInt64(time(nil))
        let isOver = Atomic(false)
        let served = Atomic(0)
        let refused = Atomic(0)
        try Threads.run(4) { number in
            var random = SplitMix64(seed: seed, stream: UInt64(number))
            if number == 0 {
                while !isOver.load(ordering: .relaxed) { try exchange(folder, &random) }
                return
            }
            defer { if number == 1 { isOver.store(true, ordering: .relaxed) } }
            for round in 0..<(Soak.isOn ? 20_000 : 300) {
                let name = name(&random)
                guard let client = try? Client(server, name) else {
                    refused.add(1, ordering: .relaxed)
                    continue
                }
                let found = try client.read(4096, at: 0)
                let isOurs = ["f0", "f1", "f2"].contains { Array(folder.bytes($0)[..<4096]) == found }
                #expect(isOurs, "seed \(seed), round \(round): \(name) is served: \(found.prefix(16))")
                served.add(1, ordering: .relaxed)
            }
        }
        #expect(served.load(ordering: .relaxed) > 50, "links that lead to images are served")
        #expect(refused.load(ordering: .relaxed) > 50, "names that lead out are refused")
        #expect(!server.process.hasEnded)
    }

    /// One of the names that `exchange` changes, or a path of dangerous pieces.
    private func name(_ random: inout SplitMix64) -> String {
        if !random.once(in: 4) { return "s\(random.pick(0...2))" }
        let pieces = [
            "..", "/", ".", "f0", "s0", "inner", "outside", "secret", "//", "\\", "%2e", "\u{1}", "link", "é",
        ]
        return (0..<random.pick(1...5)).map { _ in pieces[random.pick(0...pieces.count - 1)] }.joined()
    }

    /// Puts something else at one of the names, at once (rename).
    private func exchange(_ folder: ImageFolder, _ random: inout SplitMix64) throws {
        let (name, new) = (folder.path("s\(random.pick(0...2))"), folder.scratch.path("new"))
        switch random.pick(0...8) {
        case 0: symlink("../outside/secret", new)
        case 1: symlink("f\(random.pick(0...2))", new)
        case 2: symlink("\(folder.outside)/secret", new)
        case 3: symlink("link/s0", new)
        case 4: mkfifo(new, 0o644)
        case 5: symlink("inner/../f1", new)
        case 6: symlink("/proc/self/cwd", new)
        case 7: symlink("link/../../outside/f0", new)
        default: link(folder.path("f\(random.pick(0...2))"), new)
        }
        // A rename of one hard link over another of the same file does nothing.
        if rename(new, name) != 0 || access(new, F_OK) == 0 { unlink(new) }
        symlink(random.once(in: 2) ? "inner" : "../outside", new)
        rename(new, folder.path("link"))
    }
}
