import Glibc
import TestSupport
import Testing

/// What tests of restarts do with servers.
enum Restart {
    /// Kills a server while `client` is connected: an image without clients is written out soon after.
    static func kill(_ server: Server, beside client: Client) throws {
        Glibc.kill(server.pid, SIGKILL)
        #expect(try server.process.wait() == 128 + SIGKILL)
        withExtendedLifetime(client) {}
    }

    /// What a server says that does not start with this state.
    static func refusal(_ parameters: [String], _ state: StateFolder) throws -> String {
        let refused = try Subprocess.run(
            ["nbdkit", "-f", "-U", "-", try Plugin.built()] + parameters
                + [state.option, "memory=8M", "--run", "true"])
        #expect(refused.status != 0)
        return refused.output
    }
}
