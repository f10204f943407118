import Glibc
import TestSupport

/// A real nbdkit that serves the built plugin (or another, or the built filter) on a Unix socket, until it is stopped
/// or this goes.
final class Server {
    /// The options of nbdkit, beside the plugin and its parameters.
    struct Options {
        /// Options of nbdkit: -u, -r, --filter, …
        var nbdkit: [String] = []
        /// True if it logs debug messages. They are one line or more for each request.
        var isVerbose = true
        /// The beginning of its command, to run it in another environment.
        var command: [String] = []
        /// What serves: with the filter, it stands below those of `nbdkit`.
        var pager = Pager.plugin
        /// Filters between ours and the plugin, as nbdkit's arguments.
        var below: [String] = []
        /// A plugin other than the pager's usual one.
        var plugin: String?
    }

    let scratch: Scratch
    let process: Subprocess
    var socket: String { scratch.path("socket") }
    /// Its log, without what it says of the nbdkit that runs: some have that line and some do not.
    var log: String { Nbdkit.withoutWarning(process.output) }
    var pid: pid_t { process.pid }

    /// Starts nbdkit and waits until clients can connect.
    init(_ parameters: [String], _ options: Options = Options()) throws {
        scratch = Scratch()
        var arguments = options.command
        arguments += ["nbdkit", "-f", "--exit-with-parent", "-U", scratch.path("socket"), "-P", scratch.path("pid")]
        if options.isVerbose { arguments += ["-v", "-D", "flexpage.verbose=1"] }
        arguments += options.nbdkit
        arguments += try options.pager.arguments(options.below, plugin: options.plugin)
        arguments += options.pager.parameters(parameters)
        process = try Subprocess(arguments, outputPath: scratch.path("log"))
        try waitUntilServing()
    }

    convenience init(_ image: Image, _ parameters: String..., options: Options = Options()) throws {
        try self.init([image.path] + parameters, options)
    }

    deinit {
        _ = try? stop()
    }

    /// Ends it as a supervisor does, and returns its exit status. It waits for clients to leave: tests release theirs
    /// before.
    @discardableResult
    func stop() throws -> Int32 {
        if !process.hasEnded { kill(pid, SIGTERM) }
        return try process.wait()
    }

    /// Peak resident size of the process so far, in bytes.
    func peakResidentBytes() throws -> Int {
        for line in try Files.text("/proc/\(pid)/status").split(separator: "\n") where line.hasPrefix("VmHWM:") {
            let words = line.split { " \t".contains($0) }
            if words.count > 1, let kibibytes = Int(words[1]) { return kibibytes << 10 }
        }
        throw Trouble("/proc/\(pid)/status tells no VmHWM")
    }

    /// A number that the server printed with its counters when it ended.
    func counter(_ name: String) throws -> Int { try counter(name, inLastLineWith: "flexpage: counters: ") }

    /// A number of the last line with counters, which it prints when a client connects or leaves.
    func lastCounter(_ name: String) throws -> Int { try counter(name, inLastLineWith: " peak_bytes_in_use=") }

    private func counter(_ name: String, inLastLineWith text: String) throws -> Int {
        guard let line = log.split(separator: "\n").last(where: { $0.contains(text) }),
            let word = line.split(separator: " ").first(where: { $0.hasPrefix("\(name)=") }),
            let number = Int(word.dropFirst(name.count + 1))
        else { throw Trouble("the log has no counter \(name):\n\(log.suffix(2000))") }
        return number
    }

    /// The socket has a name a moment before it accepts connections; nbdkit writes its pid when it does.
    private func waitUntilServing() throws {
        let pidFile = scratch.path("pid")
        try Patience.wait(seconds: 60, "nbdkit does not serve:\n\(log)") {
            access(pidFile, F_OK) == 0 || process.hasEnded ? () : nil
        }
        guard !process.hasEnded else { throw Trouble("nbdkit has ended:\n\(log)") }
    }
}
