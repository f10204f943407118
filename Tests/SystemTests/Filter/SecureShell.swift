import Glibc
import TestSupport
import Testing

/// An SSH server for whoever runs the tests, on a port of this machine.
final class SecureShell {
    /// The server insists on its whole path.
    private static let program: String? = ["/usr/sbin/sshd", "/usr/bin/sshd"].first { access($0, X_OK) == 0 }
    static var isAvailable: Bool { program != nil && Subprocess.exists("ssh-keygen") }
    static let needs: Comment = "needs sshd and ssh-keygen"

    private let scratch = Scratch()
    private let process: Subprocess
    private let port: Int

    init() throws {
        for key in ["host", "user"] {
            let made = try Subprocess.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", scratch.path(key))
            guard made.status == 0 else { throw Trouble("ssh-keygen: \(made.output)") }
        }
        let key = try Files.text(scratch.path("host.pub")).split(separator: " ")
        port = Int.random(in: 20_000..<30_000)
        try Files.write(Array("[127.0.0.1]:\(port) \(key[0]) \(key[1])\n".utf8), to: scratch.path("known"))
        chmod(scratch.directory, 0o755)
        let process = try Subprocess(
            [
                Self.program ?? "", "-D", "-e", "-f", "/dev/null", "-p", "\(port)", "-h", scratch.path("host"),
                "-o", "ListenAddress=127.0.0.1", "-o", "AuthorizedKeysFile=\(scratch.path("user.pub"))",
                "-o", "PidFile=none", "-o", "StrictModes=no", "-o", "UsePAM=no", "-o", "PermitRootLogin=yes",
                "-o", "Subsystem=sftp internal-sftp",
            ], outputPath: scratch.path("log"))
        self.process = process
        try Patience.wait(seconds: 20, "there is no SSH server: \(process.output)") {
            process.output.contains("Server listening on") || process.hasEnded ? () : nil
        }
        guard !process.hasEnded else { throw Trouble("sshd has ended: \(process.output)") }
    }

    deinit {
        kill(process.pid, SIGKILL)
        _ = try? process.wait()
    }

    /// What the ssh plugin wants in order to find it.
    var parameters: [String] {
        [
            "host=127.0.0.1", "port=\(port)", "identity=\(scratch.path("user"))",
            "known-hosts=\(scratch.path("known"))",
        ]
    }
}
