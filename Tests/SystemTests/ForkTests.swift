import Glibc
import TestSupport
import Testing

/// nbdkit forks, or starts a command: what each side keeps, and where errors are reported.
@Suite struct ForkTests {
    /// A user that runs nothing else on the machine.
    private static let stranger = "54321"
    private static let needsLoop: Comment = "needs root and a loop device"

    /// Runs `script` with nbdkit's --run, the plugin on `path`.
    private func captive(_ path: String, _ options: [String], _ script: String) throws -> (Int32, String) {
        let arguments = ["nbdkit", "-U", "-"] + options + [try Plugin.built(), path, "memory=4M", "--run", script]
        let (status, output) = try Subprocess.run(arguments)
        return (status, Nbdkit.withoutWarning(output))
    }

    private func isClaimable(_ device: String) -> Bool {
        let descriptor = open(device, O_RDONLY | O_EXCL | O_CLOEXEC)
        if descriptor >= 0 { close(descriptor) }
        return descriptor >= 0
    }

    /// A device can be written with --run, by one writer after another, even if the server has given up the rights by
    /// which the device was claimed.
    @Test(.enabled(if: Machine.canLoop, needsLoop), arguments: [[], ["-u", "nobody"]])
    func aDeviceWithRun(_ options: [String]) throws {
        let image = try Image(size: 1 << 20)
        let device = try LoopDevice(image.path)
        let (new, copy) = (image.scratch.path("new"), image.scratch.path("copy"))
        let bytes = Image.bytes(0..<1 << 20, seed: 3)
        try Files.write(bytes, to: new)
        let write = "nbdcopy --flush \(new) \"$uri\""
        let result = try captive(device.path, options, "\(write) && \(write) && nbdcopy \"$uri\" \(copy)")
        #expect(result.0 == 0, "\(result.1)")
        try Bytes.check(try Files.bytes(copy), bytes, "the copy")
    }

    /// A daemon can write a device too.
    @Test(.enabled(if: Machine.canLoop, needsLoop), arguments: [[], ["-u", "nobody"]])
    func aDeviceOfADaemon(_ options: [String]) throws {
        let image = try Image(size: 1 << 20)
        let device = try LoopDevice(image.path)
        let scratch = Scratch()
        let (socket, pidFile) = (scratch.path("socket"), scratch.path("pid"))
        let start = try Subprocess.run(
            ["nbdkit", "-P", pidFile, "-U", socket] + options + [try Plugin.built(), device.path])
        #expect(start.status == 0, "\(start.output)")
        let pid = try #require(pid_t(try Files.text(pidFile).dropLast()))
        defer { kill(pid, SIGKILL) }
        try Client(socket: socket).write([1, 2, 3], at: 4096, .forced)
    }

    /// A reader's claim does not outlive the start. A device that is served with -r can be claimed by others; if it
    /// could not be claimed again, from the first client on.
    @Test(.enabled(if: Machine.canLoop, needsLoop), arguments: [[], ["-u", "nobody"]])
    func aReadersClaim(_ options: [String]) throws {
        let image = try Image(size: 1 << 20)
        let device = try LoopDevice(image.path)
        let claim = "/usr/bin/python3 -c 'import os; os.open(\"\(device.path)\", os.O_RDONLY | os.O_EXCL)'"
        let come = options.isEmpty ? "true" : "nbdinfo --size \"$uri\""
        let result = try captive(device.path, ["-r"] + options, "\(come) && \(claim)")
        #expect(result.0 == 0, "\(result.1)")
        #expect(isClaimable(device.path))
    }

    /// The command of --run is scheduled like any other, and is no IO flusher (bits of the kernel's <linux/sched.h>).
    @Test func theCommand() throws {
        let image = try Image(size: 1 << 20)
        let script = "exec /usr/bin/python3 -c 'print(\"stat\", open(\"/proc/self/stat\").read())'"
        let (status, output) = try Subprocess.run(
            ["nbdkit", "-U", "-", try Plugin.built(), image.path, "scheduling=batch", "--run", script])
        #expect(status == 0, "\(output)")
        let fields = try #require(output.split(separator: ")").last).split(separator: " ")
        #expect(fields.count > 38)
        let flags = try #require(UInt64(fields[6]))
        #expect(flags & (0x0008_0000 | 0x0010_0000) == 0, "the command is an IO flusher: \(flags)")
        #expect(fields[38] == "0", "the command's policy is \(fields[38])")
    }

    /// Whatever the limit of threads, the server either serves or reports the limit to whoever started it, with status
    /// 1 and without a signal. This holds for a daemon's starter, for --run, whose command does not run then, and for
    /// -f.
    @Test(.enabled(if: Machine.isRoot && Subprocess.exists("setpriv"), "needs root, and setpriv of util-linux"))
    func tooFewThreads() throws {
        let scratch = Scratch()
        let plugin = try readablePlugin(scratch)
        let image = try Image(in: scratch, size: 1 << 20)
        chmod(image.path, 0o666)
        var told = 0
        for limit in 0...16 {
            let run = "nbdkit -U - \(plugin) \(image.path) memory=2M --run 'echo the command runs'"
            let (status, output) = try asStranger("ulimit -u \(limit); exec \(run)")
            if status == 0 { continue }
            #expect(status == 1 || status == 2 || status == 127, "status \(status) with \(limit): \(output)")
            #expect(!output.contains("the command runs"))
            told += output.contains("error: cannot start a thread: ") ? 1 : 0
        }
        #expect(told > 4, "most limits stop threads of the plugin")
        try daemonWithTooFewThreads(scratch, plugin, image)
    }

    private func daemonWithTooFewThreads(_ scratch: Scratch, _ plugin: String, _ image: Image) throws {
        var failures = 0
        for limit in [3, 5, 7, 9] {
            let pidFile = scratch.path("pid\(limit)")
            let (status, output) = try asStranger(
                "ulimit -u \(limit); exec nbdkit -P \(pidFile) -U \(scratch.path("s\(limit)")) \(plugin) \(image.path)")
            if status == 0, let pid = pid_t(try Files.text(pidFile).dropLast()) {
                kill(pid, SIGKILL)
            } else {
                failures += 1
                #expect(status == 1 && output.contains("error: cannot start a thread: "), "\(status): \(output)")
            }
        }
        #expect(failures > 0)
    }

    /// A copy of the plugin that everybody may read.
    private func readablePlugin(_ scratch: Scratch) throws -> String {
        let path = scratch.path("plugin.so")
        try Files.write(try Files.bytes(try Plugin.built()), to: path)
        chmod(path, 0o755)
        return path
    }

    private func asStranger(_ script: String) throws -> (Int32, String) {
        try Subprocess.run(
            "setpriv", "--reuid=\(Self.stranger)", "--regid=\(Self.stranger)", "--clear-groups", "bash", "-c", script)
    }

    /// Memory that the system refuses is reported before the fork, once, and as such.
    @Test func tooLittleMemory() throws {
        let image = try Image(size: 1 << 20)
        let script = "ulimit -v 900000; exec nbdkit -U - \(try Plugin.built()) \(image.path) memory=900M --run true"
        let (status, output) = try Subprocess.run("bash", "-c", script)
        #expect(status == 1)
        #expect(
            output.hasPrefix("nbdkit: error: memory=900M: refused by the system (Cannot allocate memory)"), "\(output)")
        #expect(output.split(separator: "\n").count == 1)
    }

    /// An image that is too large is reported as such. (No disk holds one, but a tmpfs has sparse files of any size.)
    @Test(.enabled(if: Machine.canMount("tmpfs"), "needs root and a tmpfs"))
    func tooLargeAnImage() throws {
        let mounted = try Mount("tmpfs")
        let path = mounted.scratch.path("disk.img")
        for (size, isServed) in [(1 << 60, true), (1 << 60 + 512, false), (7 << 60, false)] {
            try Files.write([], to: path)
            try Files.resize(path, to: size)
            let (status, output) = try captive(path, [], "nbdinfo --size \"$uri\"")
            #expect(status == (isServed ? 0 : 1), "\(output)")
            let complaint = "nbdkit: error: file=\(path): the image has \(size) bytes; expected at most \(1 << 60)\n"
            #expect(output == (isServed ? "\(size)\n" : complaint))
        }
    }
}
