import Glibc
import TestSupport
import Testing

/// An SSH server for whoever runs the tests, on a port of this machine. It is an installed one, or the one that
/// Scripts/test unpacks: installing would start a service.
///
/// Run by root, it wants a user and a directory that only installing makes. So it gets both in a mount namespace.
final class SecureShell {
    private static let unpacked = "\(Repository.path)/.build/openssh/tree"
    /// The server insists on its whole path.
    private static let program: String? = ["/usr/sbin/sshd", "/usr/bin/sshd", "\(unpacked)/usr/sbin/sshd"].first {
        access($0, X_OK) == 0
    }
    private static var isUnpacked: Bool { program?.hasPrefix(unpacked) ?? false }
    private static let canMount = (try? Subprocess.run("unshare", "--mount", "true").status) == 0
    static var isAvailable: Bool {
        program != nil && Subprocess.exists("ssh-keygen") && (geteuid() != 0 || canMount)
    }
    static let needs: Comment = "needs sshd and ssh-keygen, and namespaces if root runs it"

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
            Self.environment(scratch) + [
                Self.program ?? "", "-D", "-e", "-f", "/dev/null", "-p", "\(port)", "-h", scratch.path("host"),
                "-o", "ListenAddress=127.0.0.1", "-o", "AuthorizedKeysFile=\(scratch.path("user.pub"))",
                "-o", "PidFile=none", "-o", "StrictModes=no", "-o", "UsePAM=no", "-o", "PermitRootLogin=yes",
                "-o", "Subsystem=sftp internal-sftp",
            ] + Self.parts, outputPath: scratch.path("log"))
        self.process = process
        try Patience.wait(seconds: 20, "there is no SSH server: \(process.output)") {
            process.output.contains("Server listening on") || process.hasEnded ? () : nil
        }
        guard !process.hasEnded else { throw Trouble("sshd has ended: \(process.output)") }
    }

    /// The beginning of its command, which gives it what it would find if it were installed.
    private static func environment(_ scratch: Scratch) -> [String] {
        let command = ["env", "LD_LIBRARY_PATH=\(libraries.joined(separator: ":"))"]
        guard geteuid() == 0 else { return command }
        let users = scratch.path("users")
        let script = """
            mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd &&
            { cat /etc/passwd; echo 'sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin'; } >\(users) &&
            mount --bind \(users) /etc/passwd && exec "$@"
            """
        return ["unshare", "--mount", "sh", "-c", script, "sh"] + command
    }

    /// Where the libraries of an unpacked server are.
    private static var libraries: [String] {
        guard isUnpacked else { return [] }
        return ["\(unpacked)/usr/lib", "\(unpacked)/lib"].flatMap { parent in
            ((try? Files.names(parent)) ?? []).filter { $0.contains("-linux-gnu") }.map { "\(parent)/\($0)" }
        }
    }

    /// Where the programs are that newer versions of an unpacked server consist of.
    private static var parts: [String] {
        guard isUnpacked else { return [] }
        return [("SshdSessionPath", "sshd-session"), ("SshdAuthPath", "sshd-auth")].flatMap { key, name in
            let path = "\(unpacked)/usr/lib/openssh/\(name)"
            return access(path, X_OK) == 0 ? ["-o", "\(key)=\(path)"] : []
        }
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
