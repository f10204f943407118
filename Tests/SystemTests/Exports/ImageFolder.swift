import Glibc
import TestSupport

/// A directory of images in which every byte is known, and a place beside it for what must not be served.
struct ImageFolder {
    let scratch = Scratch()
    let size: Int
    var directory: String { scratch.path("images") }
    var outside: String { scratch.path("outside") }

    /// Makes images with these names.
    init(_ names: [String] = [], size: Int = 64 << 10) throws {
        self.size = size
        guard mkdir(scratch.path("images"), 0o755) == 0, mkdir(scratch.path("outside"), 0o755) == 0 else {
            throw Trouble("mkdir: \(String(cString: strerror(errno)))")
        }
        for name in names { try make(name) }
    }

    func path(_ name: String) -> String { "\(directory)/\(name)" }

    /// Makes an image whose bytes tell its name.
    func make(_ name: String, seed: UInt64? = nil) throws {
        try Files.write(bytes(name, seed: seed), to: path(name))
    }

    /// What the image holds at first.
    func bytes(_ name: String, seed: UInt64? = nil) -> [UInt8] {
        Image.bytes(0..<size, seed: seed ?? ImageFolder.seed(name))
    }

    private static func seed(_ name: String) -> UInt64 { name.utf8.reduce(7) { $0 &* 31 &+ UInt64($1) } << 20 }

    /// A server of the directory.
    func server(_ parameters: String..., options: Server.Options = Server.Options()) throws -> Server {
        try Server(["dir=\(directory)"] + parameters, options)
    }

    /// Fails unless the export is an image as it was at first: the one of the same name, if no other is given.
    func check(_ server: Server, _ name: String, is image: String? = nil) throws {
        try Bytes.check(try Client(server, name).read(size, at: 0), bytes(image ?? name), name)
    }
}

extension Server {
    /// The names of the exports that it lists, in order.
    func exports() throws -> [String] {
        let result = try Subprocess.run("nbdinfo", "--list", "nbd+unix:///?socket=\(socket)")
        guard result.status == 0 else { throw Trouble("nbdinfo: \(result.output)") }
        return result.output.split(separator: "\n").filter { $0.hasPrefix("export=\"") }
            .map { String($0.dropFirst(8).dropLast(2)) }
    }

    /// What its descriptors lead to.
    func openFiles() throws -> [String] {
        try Files.names("/proc/\(pid)/fd").compactMap { Files.target("/proc/\(pid)/fd/\($0)") }
    }

    /// Waits until it has closed all files in `directory`.
    func waitUntilClosed(_ directory: String) throws {
        try Patience.wait(seconds: 60, "files stay open: \((try? openFiles()) ?? [])") {
            (try? openFiles())?.contains { $0.hasPrefix(directory + "/") } == false ? () : nil
        }
    }
}
