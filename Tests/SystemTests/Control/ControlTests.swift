import Glibc
import TestSupport
import Testing

/// The control socket of a real server.
@Suite struct ControlTests {
    private func figures(_ control: ControlConnection, _ image: Int = 0) throws -> [String: Any] {
        let answer = try control.ask("figures")
        #expect(answer["ok"] as? Bool == true)
        guard let images = answer["images"] as? [[String: Any]], images.count > image else {
            throw Trouble("no image \(image): \(answer)")
        }
        return images[image]
    }

    private func number(_ figures: [String: Any], _ name: String) throws -> Int {
        guard let number = figures[name] as? Int else { throw Trouble("no \(name): \(figures)") }
        return number
    }

    private func counter(_ figures: [String: Any], _ name: String) throws -> Int {
        try number(figures["counters"] as? [String: Any] ?? [:], name)
    }

    /// Figures follow what clients do, for the image and for all.
    @Test func figures() throws {
        let (image, scratch) = (try Image(size: 8 << 20), Scratch())
        let server = try Server(
            image, "memory=32M", "control=\(scratch.path("control"))", "readahead=off", "dirty-age=3600")
        let (client, control) = (try Client(server), try ControlConnection(scratch.path("control")))
        try image.checkRead(client, 1 << 20, at: 0)
        try image.checkRead(client, 1 << 20, at: 0)
        try client.write([UInt8](repeating: 1, count: 8192), at: 4 << 20)
        let found = try figures(control)
        #expect(found["name"] as? String == image.path)
        #expect(try number(found, "size_bytes") == 8 << 20)
        #expect(try counter(found, "misses") == 256)
        #expect(try counter(found, "hits") == 256)
        #expect(try counter(found, "dirty_bytes") == 8192)
        #expect(try counter(found, "filled_bytes") == 1 << 20)
        #expect(try counter(found, "prefetched_bytes") == 0)
        try Patience.wait(seconds: 60, "nothing ages") {
            let all = (try? control.ask("figures"))?["all"] as? [String: Any]
            let ages = [all, try? figures(control)].map { $0?["dirty_age_ms"] as? Int ?? 0 }
            return ages.allSatisfy { $0 > 300 } ? () : nil
        }
        try client.flush()
        #expect(try number(try figures(control), "dirty_age_ms") == 0)
        #expect(try counter(try figures(control), "failed_flushes") == 0)
        try client.write([UInt8](repeating: 1, count: 8192), at: 4 << 20)
        #expect(try number(found, "held_bytes") == 1 << 20 + 8192)
        let whole = try control.ask("figures")
        let memory = try #require(whole["memory"] as? [String: Any])
        #expect(try number(memory, "bound_bytes") == 32 << 20)
        #expect(try number(memory, "in_use_bytes") <= 32 << 20)
        let all = try #require(whole["all"] as? [String: Any])
        #expect(try counter(all, "dirty_bytes") == 8192)
        let now = try figures(control)
        for name in ["fill", "write_out", "sync", "flush"] {
            let ofImage = try #require(now["\(name)_latency"] as? [String: Any])
            let ofAll = try #require(all["\(name)_latency"] as? [String: Any])
            #expect(try number(ofAll, "count") >= 1 && number(ofAll, "count") == number(ofImage, "count"))
        }
        #expect(whole["pid"] as? Int == Int(server.pid))
    }

    /// Each order does what its name says.
    @Test func orders() throws {
        let (image, scratch) = (try Image(size: 8 << 20), Scratch())
        let server = try Server(image, "memory=32M", "control=\(scratch.path("control"))", "dirty-age=3600")
        let (client, control) = (try Client(server), try ControlConnection(scratch.path("control")))
        let prefetched = try control.ask("prefetch disk 1M 2M")
        #expect(prefetched["prefetched_bytes"] as? Int == 2 << 20)
        #expect(try number(try figures(control), "held_bytes") >= 2 << 20)
        let fills = try counter(try figures(control), "fills")
        try image.checkRead(client, 2 << 20, at: 1 << 20)
        #expect(try counter(try figures(control), "fills") == fills, "what was prefetched is read once")
        try client.write([UInt8](repeating: 9, count: 4096), at: 0)
        let dropped = try control.ask("drop")
        #expect(try number(dropped, "dropped_bytes") >= 2 << 20)
        #expect(try counter(try figures(control), "dirty_bytes") == 4096, "what is dirty stays")
        #expect(try client.read(4096, at: 0) == [UInt8](repeating: 9, count: 4096))
        #expect(try Files.bytes(image.path)[0] != 9)
        #expect(try control.ask("flush")["ok"] as? Bool == true)
        #expect(try Files.bytes(image.path)[0] == 9)
        #expect(try control.ask("readahead disk off")["readahead_bytes"] as? Int == 0)
        #expect(try number(try figures(control), "readahead_bytes") == 0)
        #expect(try number(try control.ask("readahead disk 256k"), "readahead_bytes") == 256 << 10)
        #expect(try number(try control.ask("drop disk"), "dropped_bytes") > 0)
        try image.check(try client.read(1 << 20, at: 4 << 20), at: 4 << 20)
    }

    /// With dir=, orders name exports, and errors name them too.
    @Test func exports() throws {
        let (scratch, folder) = (Scratch(), Scratch())
        try Files.write(Image.bytes(0..<4 << 20), to: folder.path("a b.img"))
        try Files.write(Image.bytes(0..<1 << 20, seed: 2), to: folder.path("other.img"))
        let server = try Server(
            ["dir=\(folder.path("."))", "memory=32M", "readahead=off", "control=\(scratch.path("control"))"])
        let control = try ControlConnection(scratch.path("control"))
        #expect((try control.ask("figures")["images"] as? [Any])?.isEmpty == true)
        let client = try Client(server, "a b.img")
        #expect(try control.ask("prefetch a%20b.img 0 4M")["prefetched_bytes"] as? Int == 4 << 20)
        #expect(try client.read(4 << 20, at: 0) == Image.bytes(0..<4 << 20))
        let found = try figures(control)
        #expect(found["name"] as? String == "a b.img")
        #expect(try counter(found, "hits") == 1024)
        let refused = try control.ask("flush nonsense")
        #expect(refused["ok"] as? Bool == false)
        #expect((refused["error"] as? String)?.contains("nonsense") == true)
        let far = try control.ask("prefetch other.img 2M 1M")
        #expect((far["error"] as? String)?.contains("the image has 1048576 bytes") == true)
    }

    /// A flush that fails is no success, and says which image and why.
    @Test(.enabled(if: !FullDisk.kinds.isEmpty, "no file system can be mounted here"))
    func aFailingFlush() throws {
        let (disk, scratch) = (try FullDisk(FullDisk.kinds[0], imageSize: 16 << 20, left: 64 << 10), Scratch())
        let server = try Server([disk.image, "memory=32M", "dirty-age=3600", "control=\(scratch.path("control"))"])
        let client = try Client(server)
        try client.write(Image.bytes(0..<1 << 20, seed: 3), at: 0)
        let answer = try ControlConnection(scratch.path("control")).ask("flush")
        #expect(answer["ok"] as? Bool == false)
        #expect((answer["error"] as? String)?.contains("No space left on device") == true)
        #expect(try counter(try figures(ControlConnection(scratch.path("control"))), "failed_flushes") == 1)
        try disk.free()
        #expect(try ControlConnection(scratch.path("control")).ask("flush")["ok"] as? Bool == true)
    }

    /// Clients that hang, that talk nonsense, or that are too many, harm nobody.
    @Test func badClients() throws {
        let (image, scratch) = (try Image(size: 1 << 20), Scratch())
        let path = scratch.path("control")
        let server = try Server(image, "memory=8M", "control=\(path)")
        do { try image.checkRead(try Client(server), 1 << 20, at: 0) }
        var hanging: [ControlConnection] = []
        for _ in 0..<7 {
            hanging.append(try ControlConnection(path))
            try hanging.last?.send(Array("figu".utf8))
        }
        let control = try ControlConnection(path)
        #expect(try control.ask("nonsense")["ok"] as? Bool == false)
        let tooMany = try ControlConnection(path)
        #expect((try tooMany.answer()["error"] as? String)?.contains("8 clients are connected already") == true)
        #expect(tooMany.hasEnded())
        do { try image.checkRead(try Client(server), 1 << 20, at: 0) }
        try control.send(Array("flush \u{0}\n".utf8) + [0xff, 0xfe, UInt8(ascii: "\n")])
        #expect((try control.answer()["error"] as? String)?.contains("no name has a byte that is 0") == true)
        #expect((try control.answer()["error"] as? String)?.contains("not in UTF-8") == true)
        hanging.removeAll()
        try control.send([UInt8](repeating: UInt8(ascii: "x"), count: 5000))
        #expect((try control.answer()["error"] as? String)?.contains("more than 4096 bytes") == true)
        #expect(control.hasEnded())
        // Two orders in one piece are two answers, and a client that hangs up in the middle of a line is forgotten.
        let last = try ControlConnection(path)
        try last.send(Array("figures\r\nflush\n".utf8))
        #expect(try last.answer()["images"] != nil)
        #expect(try last.answer()["ok"] as? Bool == true)
        #expect(try server.stop() == 0)
        #expect(last.hasEnded())
    }

    /// An order without an end ends with the server, and with its client. It hinders neither clients nor figures.
    @Test func endlessOrders() throws {
        let scratch = Scratch()
        let (path, image) = (scratch.path("control"), scratch.path("disk.img"))
        // Holes cost no I/O, but to go through them takes days.
        try Files.resize(image, to: 1 << 43)
        let server = try Server([image, "memory=8M", "control=\(path)"])
        var endless = try (0..<6).map { _ in try ControlConnection(path) }
        func beginEndless() throws {
            for connection in endless { try connection.send(Array("prefetch disk 0 8T\n".utf8)) }
        }
        try beginEndless()
        let control = try ControlConnection(path)
        try Patience.wait(seconds: 60, "orders are not counted") {
            let answer = try? control.ask("flush")
            // A flush that came before the sixth order has taken its place. That one is refused, and comes again. The
            // others' connections get to their second orders when the first ones have ended, which is never.
            if answer?["ok"] as? Bool == true { try? beginEndless() }
            return (answer?["error"] as? String)?.contains("6 orders are under way") == true ? () : nil
        }
        #expect(try control.ask("figures")["ok"] as? Bool == true)
        #expect(try Client(server).read(1, at: 1 << 30) == [0])
        endless.removeLast()
        try Patience.wait(seconds: 60, "an order outlives its client") {
            (try? control.ask("flush"))?["ok"] as? Bool == true ? () : nil
        }
        #expect(try server.stop() == 0)
        #expect(endless[0].hasEnded())
    }

    /// The socket of a server that gives up its privileges is made before. A read-only server takes orders too.
    @Test(.enabled(if: getuid() == 0, "only root can give up privileges"))
    func asAnotherUser() throws {
        let (image, scratch) = (try Image(size: 1 << 20), Scratch())
        let path = scratch.path("control")
        chmod(image.path, 0o666)
        let server = try Server(
            [image.path, "memory=8M", "control=\(path)"], Server.Options(nbdkit: ["-u", "nobody", "-r"]))
        try image.checkRead(try Client(server), 1 << 20, at: 0)
        let control = try ControlConnection(path)
        #expect(try control.ask("prefetch disk 0 1M")["ok"] as? Bool == true)
        #expect(try number(try figures(control), "held_bytes") == 1 << 20, "an order drops nothing that was read")
        #expect(try control.ask("flush")["ok"] as? Bool == true)
        #expect(try server.stop() == 0)
    }

    /// Only the user who starts the server may connect, unless control-mode= says otherwise. The socket goes with the
    /// server, and a server that was killed leaves it to the next one.
    @Test func theSocketsLife() throws {
        let (image, scratch) = (try Image(size: 1 << 20), Scratch())
        let path = scratch.path("control")
        let first = try Server(image, "memory=8M", "control=\(path)")
        #expect(try mode(of: path) == 0o600)
        let refused = try Subprocess.run(
            "nbdkit", "-f", "-U", "-", try Plugin.built(), image.path, "control=\(path)", "--run", "true")
        #expect(refused.status != 0)
        #expect(refused.output.contains("control=\(path): another process listens there"))
        kill(first.pid, SIGKILL)
        _ = try first.process.wait()
        let second = try Server(image, "memory=8M", "control=\(path)", "control-mode=660")
        #expect(try mode(of: path) == 0o660)
        #expect(try ControlConnection(path).ask("figures")["ok"] as? Bool == true)
        #expect(try second.stop() == 0)
        #expect(access(path, F_OK) != 0)
    }

    /// Wrong paths and modes are one line before the fork.
    @Test(arguments: [
        (["control="], "control=: the path is empty"), (["control=/nonexistent/socket"], "No such file or directory"),
        (["control=/etc/passwd"], "it exists and is not a socket"), (["control-mode=660"], "expected control= with it"),
        (["control=/tmp/x", "control-mode=9"], "control-mode=9: not permissions; expected three octal digits"),
        (["control=/" + String(repeating: "x", count: 200)], "the path has 201 bytes; expected at most 107"),
    ])
    func refusals(_ options: [String], _ expected: String) throws {
        let image = try Image(size: 1 << 20)
        let refused = try Subprocess.run(
            ["nbdkit", "-f", "-U", "-", try Plugin.built(), image.path] + options + ["--run", "true"])
        #expect(refused.status != 0)
        #expect(refused.output.contains(expected), "\(refused.output)")
        #expect(try Files.text("/etc/passwd").contains("root"))
    }

    private func mode(of path: String) throws -> mode_t {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw Trouble("there is no \(path)") }
        return status.st_mode & 0o777
    }
}
