import Glibc
import TestSupport
import Testing

/// A person who types something wrong reads one sentence with the key, the value and what is expected. It is on the
/// terminal, before nbdkit forks, and the exit status is 1.
@Suite struct BadInputTests {
    /// Runs nbdkit as a daemon is started. The output and the exit status are those of its first process, before the
    /// fork.
    private func expectRefusal(
        _ parameters: [String], saying words: [String], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let scratch = Scratch()
        let pidFile = scratch.path("pid")
        let command = ["nbdkit", "-P", pidFile, "-U", scratch.path("socket"), try Plugin.built()] + parameters
        let result = try Subprocess.run(command)
        #expect(result.status == 1, "\(result.output)", sourceLocation: sourceLocation)
        for word in words {
            #expect(result.output.contains(word), "no “\(word)” in: \(result.output)", sourceLocation: sourceLocation)
        }
        let lines = result.output.split(separator: "\n").count
        #expect(lines == 1, "more than one sentence: \(result.output)", sourceLocation: sourceLocation)
        if let pid = (try? Files.text(pidFile))?.split(separator: "\n").first.flatMap({ pid_t($0) }) {
            Issue.record("it serves", sourceLocation: sourceLocation)
            kill(pid, SIGKILL)
        }
    }

    /// What is no image is refused.
    @Test func images() throws {
        let scratch = Scratch()
        try expectRefusal([], saying: ["file=", "missing", "path of the image", "nbdkit flexpage disk.img"])
        let missing = scratch.path("none.img")
        try expectRefusal([missing], saying: ["file=\(missing)", "no such file", "image file or a block device"])
        try expectRefusal(["file="], saying: ["file=:", "empty", "path of the image"])
        let directory = scratch.directory
        let wanted = "image file or a block device"
        try expectRefusal([directory], saying: ["file=\(directory)", "directory", wanted])
        try expectRefusal(["/dev/null"], saying: ["file=/dev/null", "character device", wanted])
        let fifo = scratch.path("fifo")
        mkfifo(fifo, 0o644)
        try expectRefusal([fifo], saying: ["file=\(fifo)", "FIFO", "image file or a block device"])
        try expectRefusal(["a.img", "b.img"], saying: ["file=b.img", "file=a.img was given before", "one image"])
    }

    /// What does not name a set of images, or contradicts itself, is refused.
    @Test func exports() throws {
        let folder = try ImageFolder(["a.img", "b.img"])
        let (directory, a, b) = (folder.directory, folder.path("a.img"), folder.path("b.img"))
        let missing = folder.scratch.path("none")
        mkfifo(folder.path("fifo"), 0o644)
        let refusals: [([String], [String])] = [
            (
                ["dir=\(directory)", a],
                ["dir=\(directory): file=\(a) was given too", "expected file=, dir= or export="]
            ),
            (["export=x:\(a)", b], ["export=x:\(a): file=\(b) was given too", "not two of them"]),
            (["dir=\(directory)", "export=x:\(a)"], ["export=x:\(a): dir=\(directory) was given too"]),
            (["dir=\(directory)", "dir=/tmp"], ["dir=/tmp: dir=\(directory) was given before", "one directory"]),
            (["dir=\(missing)"], ["dir=\(missing): there is no such directory", "directory of image files"]),
            (["dir=\(a)"], ["dir=\(a): it is no directory"]), (["dir="], ["dir=: the path is empty"]),
            (["dir=\(directory)", "default=c"], ["default=c: export \"c\": \(directory)/c: there is no such file"]),
            (["dir=\(directory)", "default=fifo"], ["default=fifo: ", "a FIFO"]),
            (["dir=\(directory)", "default=../images/a.img"], ["default=../images/a.img: ", "no such entry"]),
            (["dir=\(directory)", "default="], ["default=: the name is empty", "name of an export"]),
            (
                [a, "default=a.img"],
                ["default=a.img: file= serves one image under every name; expected dir= or export="]
            ),
            (["export=x:\(a)", "default=y"], ["default=y: no export has that name; expected \"x\""]),
            (["export=x:\(a)", "export=x:\(b)"], ["export=x:\(b): the name \"x\" was given before, to \(a)", "once"]),
            (["export=x:\(missing)"], ["export=x:\(missing): there is no such file"]),
            (["export=x:\(directory)"], ["export=x:\(directory): it is a directory"]),
            (["export=x:\(a),rw"], ["export=x:\(a),rw: unknown option \"rw\"", "ro, cache=", "reserve="]),
            (
                ["export=x:\(a)", "reserve=129M"],
                ["reserve= is 5M too much for an image; expected at most half of the pages"]
            ),
            (
                ["export=x:\(a),reserve=30%", "export=y:\(b),reserve=30%"],
                ["all exports together", "is 24M too much", "which is 123M"]
            ),
        ]
        for (parameters, words) in refusals { try expectRefusal(parameters, saying: words) }
    }

    /// A directory that may not be listed is refused.
    @Test(.enabled(if: Machine.isRoot, "only root can become another user"))
    func unreadableDirectory() throws {
        let folder = try ImageFolder(["a.img"])
        chmod(folder.directory, 0o711)
        let result = try Subprocess.run(
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "nbdkit", "-U", "-", try Plugin.built(),
            "dir=\(folder.directory)", "--run", "echo served")
        #expect(result.status == 1)
        #expect(result.output.contains("dir=\(folder.directory): this user has no permission to list it"))
        #expect(!result.output.contains("served"))
    }

    /// An image that may not be read is refused.
    @Test(.enabled(if: Machine.isRoot, "only root can become another user"))
    func unreadableImage() throws {
        let image = try Image(size: 8192)
        chmod(image.path, 0)
        let result = try Subprocess.run(
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "nbdkit", "-U", "-", try Plugin.built(),
            image.path, "--run", "echo served")
        #expect(result.status == 1)
        #expect(result.output.contains("file=\(image.path)"))
        #expect(result.output.contains("no permission to read it"))
        #expect(!result.output.contains("served"))
    }

    /// Wrong values of the keys of writing are refused.
    @Test func writing() throws {
        let image = try Image(size: 8192)
        try expectRefusal(
            [image.path, "cache=unsafe"], saying: ["cache=unsafe: unknown mode", "writeback or writethrough"])
        for value in ["", "0", "91%", "x", "-3%", "+3%", "40%%", "%"] {
            try expectRefusal([image.path, "dirty=\(value)"], saying: ["dirty=\(value): not a share", "1% to 90%"])
        }
        for value in ["", "0", "5s", "-1", "+5", "1.5", "86401"] {
            try expectRefusal(
                [image.path, "dirty-age=\(value)"], saying: ["dirty-age=\(value): not a time", "such as 5"])
        }
        for value in ["", "0", "on", "1.5", "-1", "+5", "3601"] {
            try expectRefusal(
                [image.path, "last-will=\(value)"], saying: ["last-will=\(value): not a time", "such as 10"])
        }
        try expectRefusal([image.path, "lock=maybe"], saying: ["lock=maybe: unknown mode", "on or off"])
    }

    /// Unknown keys are refused, and so are unknown modes and values that are no size.
    @Test func keys() throws {
        let image = try Image(size: 8192)
        try expectRefusal(
            [image.path, "size=12"],
            saying: [
                "size=12: unknown key",
                "file=, dir=, export=, default=, reserve=, memory=, state=, warm=, control=, control-mode=, direct=, "
                    + "readahead=, scheduling=",
            ])
        try expectRefusal([image.path, "direct=maybe"], saying: ["direct=maybe: unknown mode", "auto, on or off"])
        for value in ["0", "63k"] {
            try expectRefusal(
                [image.path, "readahead=\(value)"], saying: ["readahead=\(value): too small", "least 64K, or off"])
        }
        for value in ["", "x", "on"] {
            try expectRefusal(
                [image.path, "readahead=\(value)"], saying: ["readahead=\(value): not a size", "such as", "or off"])
        }
        try expectRefusal(
            [image.path, "scheduling=fifo"], saying: ["scheduling=fifo: unknown mode", "auto, normal or batch"])
        try expectRefusal([image.path, "direct="], saying: ["direct=: unknown mode", "auto, on or off"])
    }

    /// A memory= that is no size, too little, or more than the machine has is refused.
    @Test func memory() throws {
        let image = try Image(size: 8192)
        for value in ["", "lots", "-1", "12Q", "1.5G", "0x100000", "99999999999999999999"] {
            try expectRefusal([image.path, "memory=\(value)"], saying: ["memory=\(value): not a size", "4G"])
        }
        for value in ["0", "1", "4096", "1048575", "1023k"] {
            try expectRefusal([image.path, "memory=\(value)"], saying: ["memory=\(value): too small", "least 1M"])
        }
        try expectRefusal(
            [image.path, "memory=8T"], saying: ["memory=8T: more than", "machine has", "at most"])
        try expectRefusal([image.path, "memory=4000T"], saying: ["memory=4000T: too large", "most 8T"])
    }

    /// A memory= of more than the server's control group allows is refused, and what the group allows is served. If
    /// that leaves little for the server itself, there is a warning.
    @Test(.enabled(if: Machine.memoryGroups != nil, "needs root and a memory controller"), arguments: Pager.allCases)
    func memoryOfTheControlGroup(_ pager: Pager) throws {
        let image = try Image(size: 8192)
        let group = try MemoryGroup(limit: 64 << 20)
        let served = try pager.arguments().joined(separator: " ")
        for (memory, isServed) in [("65M", false), ("256M", false), ("16M", true), ("53M", true)] {
            let result = try Subprocess.run(
                "sh", "-c",
                "echo $$ > \(group.directory)/cgroup.procs; "
                    + "exec nbdkit -U - \(served) \(image.path) memory=\(memory) --run 'nbdinfo --size \"$uri\"'")
            #expect(result.status == (isServed ? 0 : 1), "\(result.output)")
            #expect(result.output.contains(isServed ? "8192" : "memory=\(memory): more than the 64M"))
            #expect(isServed || result.output.contains("control group"))
            #expect(result.output.contains("memory=53M: leaves 11M of the 64M") == (memory == "53M"))
        }
    }

    /// A state file that was made for a server that cannot start is removed, because it holds as much memory as the
    /// server would. One that was there stays.
    @Test(.enabled(if: StateFolder.isAvailable, Comment(rawValue: StateFolder.needs)))
    func aStateFileOfNoServer() throws {
        let (state, scratch) = (StateFolder(), Scratch())
        let image = try Image(size: 8192)
        let missing = scratch.path("none.img")
        for (wrong, key) in [([missing], "file="), ([image.path, "control=/none/socket"], "control=")] {
            try expectRefusal(wrong + [state.option, "memory=2M"], saying: [key])
            #expect(access(state.path, F_OK) != 0, "\(wrong)")
        }
        let served = try Server([image.path, state.option, "memory=2M"])
        #expect(try served.stop() == 0)
        try expectRefusal([missing, state.option, "memory=2M"], saying: ["file="])
        #expect(access(state.path, F_OK) == 0)
    }

    /// direct=on is refused if O_DIRECT is not available.
    @Test(.enabled(if: Machine.canMount("ramfs"), "only root can mount a ramfs"))
    func direct() throws {
        let mounted = try Mount("ramfs")
        let image = try Image(in: mounted.scratch, size: 8192)
        try expectRefusal([image.path, "direct=on"], saying: ["file=\(image.path)", "direct=on", "direct=auto"])
    }
}
