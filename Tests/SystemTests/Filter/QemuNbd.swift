import Glibc
import TestSupport
import Testing

/// A qemu-nbd that serves an image on a Unix socket, and is killed and started anew as a test wants.
final class QemuNbd {
    static var isAvailable: Bool { Subprocess.exists("qemu-nbd") && Subprocess.exists("qemu-img") }
    static let needs: Comment = "needs qemu-nbd and qemu-img"

    private let scratch = Scratch()
    private let format: String
    private var process: Subprocess?
    var socket: String { scratch.path("nbd") }
    /// The image's path.
    var image: String { scratch.path("disk") }

    /// Makes an image of zeroes, and serves it.
    init(_ format: String, size: Int) throws {
        self.format = format
        try make(size: size)
        try start()
    }

    /// Makes another image in its place.
    func make(size: Int) throws {
        let made = try Subprocess.run("qemu-img", "create", "-q", "-f", format, image, "\(size)")
        guard made.status == 0 else { throw Trouble("qemu-img: \(made.output)") }
    }

    /// Starts it, and waits until clients can connect.
    func start(_ options: String...) throws {
        unlink(socket)
        let process = try Subprocess(
            ["qemu-nbd", "-t", "-e", "64", "-k", socket, "-f", format] + options + [image],
            outputPath: scratch.path("log"))
        self.process = process
        try Patience.wait(seconds: 60, "qemu-nbd does not serve: \(process.output)") {
            (try? Client(socket: socket)) != nil ? () : nil
        }
    }

    /// Kills it, as a machine that goes down.
    func kill() throws {
        guard let process else { return }
        Glibc.kill(process.pid, SIGKILL)
        _ = try process.wait()
        self.process = nil
    }

    /// What is on the image. Nobody serves it.
    func contents() throws -> [UInt8] {
        let raw = scratch.path("raw")
        let made = try Subprocess.run("qemu-img", "convert", "-f", format, "-O", "raw", image, raw)
        guard made.status == 0 else { throw Trouble("qemu-img: \(made.output)") }
        return try Files.bytes(raw)
    }

    /// Serves it through the filter.
    func serve(_ parameters: String..., above: [String] = [], below: [String] = []) throws -> Server {
        try Server(
            ["socket=\(socket)"] + parameters,
            Server.Options(nbdkit: above, isVerbose: false, pager: .filter, below: below, plugin: "nbd"))
    }
}
