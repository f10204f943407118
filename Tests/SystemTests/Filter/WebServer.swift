import Glibc
import TestSupport
import Testing

/// A web server for one file, with ranges, that is slow or fails as a test wants.
final class WebServer {
    /// What a test can switch on.
    enum Fault: String, CaseIterable {
        /// Each request takes 50 ms.
        case slow
        /// Each request for bytes is answered with "503 Service Unavailable".
        case unavailable
        /// Each connection is closed without an answer.
        case dropped
        /// Answers end after half of their bytes.
        case cut
    }

    static let isAvailable = access("/usr/bin/python3", X_OK) == 0
    static let needs: Comment = "needs /usr/bin/python3"

    private let scratch = Scratch()
    private let process: Subprocess
    private let port: String
    var address: String { "http://127.0.0.1:\(port)/disk.img" }

    init(_ path: String) throws {
        try Files.write(Array(Self.script.utf8), to: scratch.path("server.py"))
        let portFile = scratch.path("port")
        let process = try Subprocess(
            ["/usr/bin/python3", scratch.path("server.py"), path, scratch.directory], outputPath: scratch.path("log"))
        self.process = process
        port = try Patience.wait(seconds: 60, "there is no web server: \(process.output)") {
            (try? Files.text(portFile)).flatMap { $0.hasSuffix("\n") ? String($0.dropLast()) : nil }
        }
    }

    deinit {
        kill(process.pid, SIGKILL)
        _ = try? process.wait()
    }

    func begin(_ fault: Fault) throws { try Files.write([], to: scratch.path(fault.rawValue)) }
    func end(_ fault: Fault) { unlink(scratch.path(fault.rawValue)) }

    private static let script = """
        import http.server, os, re, sys, time

        path, directory = sys.argv[1:]

        def has(fault):
            return os.path.exists(os.path.join(directory, fault))

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, body):
                if has("dropped"):
                    self.close_connection = True
                    return
                if has("slow"):
                    time.sleep(0.05)
                if body and has("unavailable"):
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                size = os.path.getsize(path)
                begin, end = 0, size
                wanted = re.fullmatch(r"bytes=(\\d+)-(\\d+)", self.headers.get("Range", ""))
                if wanted:
                    begin, end = int(wanted[1]), min(int(wanted[2]) + 1, size)
                self.send_response(206 if wanted else 200)
                self.send_header("Accept-Ranges", "bytes")
                if wanted:
                    self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
                self.send_header("Content-Length", str(end - begin))
                self.end_headers()
                if body:
                    with open(path, "rb") as file:
                        file.seek(begin)
                        data = file.read(end - begin)
                    if has("cut"):
                        self.wfile.write(data[: len(data) // 2])
                        self.close_connection = True
                    else:
                        self.wfile.write(data)

            def do_HEAD(self):
                self.answer(False)

            def do_GET(self):
                self.answer(True)

            def log_message(self, *words):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        with open(os.path.join(directory, "port"), "w") as file:
            print(server.server_address[1], file=file)
        server.serve_forever()

        """
}
