import Glibc
import TestSupport
import Testing

/// A file on a disk that fails on demand. Its syncs fail as long as a test wants. With each that fails it forgets
/// everything written since the last good one, like a disk that loses its cache. Its reads or its writes hang as long
/// as a test wants.
///
/// The file is the export of another nbdkit, whose eval plugin does each request with a shell command, through nbdfuse:
/// a write past the page cache is a write there, and an fsync a flush. Stop servers of it before releasing it.
///
/// The filter needs no file: it stands in the nbdkit of the eval plugin.
final class TroubledDisk {
    /// The faults that a test can switch on.
    enum Fault: String, CaseIterable {
        case syncsFail, readsHang, writesHang
    }

    /// True if such a disk can be made here.
    static var isAvailable: Bool {
        Machine.canExportFiles && (try? Subprocess.run("nbdkit", "eval", "--dump-plugin").status) == 0
    }
    static let needs: Comment = "needs root, FUSE with nbdfuse, and nbdkit's eval plugin"

    /// The path of the file; empty for the filter.
    let path: String
    private let scratch: Scratch
    private let server: Server?
    private var export: FuseExport?
    private let size: Int

    /// - Parameter bytes: Its contents, durable.
    init(_ bytes: [UInt8], for pager: Pager = .plugin) throws {
        scratch = Scratch()
        size = bytes.count
        try Files.write(bytes, to: scratch.path("durable"))
        try Files.write(bytes, to: scratch.path("current"))
        try Files.write([], to: scratch.path("calls"))
        guard pager == .plugin else {
            (server, path) = (nil, "")
            return
        }
        let server = try Server(
            Self.commands(scratch.directory, size: bytes.count),
            Server.Options(nbdkit: ["-t", "1"], isVerbose: false, plugin: "eval"))
        // nbdfuse uses its connections in turn, and sends nothing more on one whose request hangs.
        let export = try FuseExport(server, connections: 64)
        self.export = export
        self.server = server
        path = export.file
    }

    /// Serves it.
    /// - Parameter pager: The one that it was made for.
    func serve(_ pager: Pager, _ parameters: String...) throws -> Server {
        guard pager == .filter else { return try Server([path] + parameters) }
        return try Server(
            Self.commands(scratch.directory, size: size) + parameters, Server.Options(pager: .filter, plugin: "eval"))
    }

    /// What messages of the server call it.
    func label(_ pager: Pager) -> String { pager == .plugin ? path : "the eval plugin" }

    deinit {
        for fault in Fault.allCases { end(fault) }
        export = nil
        _ = try? server?.stop()
    }

    func begin(_ fault: Fault) throws { try Files.write([], to: scratch.path(fault.rawValue)) }
    func end(_ fault: Fault) { unlink(scratch.path(fault.rawValue)) }

    /// The disk's durable contents.
    var durable: [UInt8] { get throws { try Files.bytes(scratch.path("durable")) } }

    /// Requests that have come so far: their kind ("read", "write", "sync") and their offset.
    var calls: [(kind: Substring, offset: Int)] {
        get throws {
            try Files.text(scratch.path("calls")).split(separator: "\n").map { line in
                let words = line.split(separator: " ")
                return (words[0], words.count > 1 ? Int(words[1]) ?? 0 : 0)
            }
        }
    }

    /// Waits for a request of this kind, beyond the first `count` requests.
    func waitForCall(_ kind: String, beyond count: Int) throws {
        try Patience.wait(seconds: 60, "no \(kind) comes") {
            (try? calls.dropFirst(count).contains { $0.kind == kind }) == true ? () : nil
        }
    }

    /// What each request does; $3 is its length and $4 its offset.
    private static func commands(_ directory: String, size: Int) -> [String] {
        let hang = { (fault: Fault) in "while [ -e \(directory)/\(fault.rawValue) ]; do sleep 0.01; done; " }
        let note = { (call: String) in "echo \(call) >> \(directory)/calls; " }
        let dd = "dd bs=64k status=none"
        return [
            "thread_model=echo parallel", "get_size=echo \(size)", "can_write=exit 0", "can_flush=exit 0",
            "can_fua=echo emulate", "can_multi_conn=exit 0",
            "pread=\(note("read $4"))\(hang(.readsHang))"
                + "\(dd) if=\(directory)/current iflag=skip_bytes,count_bytes skip=$4 count=$3",
            "pwrite=\(note("write $4"))\(hang(.writesHang))"
                + "\(dd) of=\(directory)/current oflag=seek_bytes seek=$4 conv=notrunc",
            "flush=\(note("sync"))if [ -e \(directory)/\(Fault.syncsFail.rawValue) ]; then "
                + "cp \(directory)/durable \(directory)/old && mv \(directory)/old \(directory)/current; "
                + "echo EIO the cache is lost >&2; exit 1; fi; "
                // At once, because somebody may look at it.
                + "cp \(directory)/current \(directory)/new.$$ && mv \(directory)/new.$$ \(directory)/durable",
        ]
    }
}
