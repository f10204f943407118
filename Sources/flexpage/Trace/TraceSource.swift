import Glibc

/// The bytes of a trace file: as they are, or through `zstd` or `gzip` where its name ends like theirs.
final class TraceSource {
    private let path: String
    private let descriptor: Int32
    /// The system's tool that unpacks, and its process, where there is one.
    private let tool: (name: String, process: pid_t)?

    private static let tools = [".zst": "zstd", ".gz": "gzip"]

    /// Opens the file.
    /// - Throws: A TraceError where the file or the tool for it is missing.
    init(path: String) throws {
        self.path = path
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw TraceError(path, "cannot be opened: \(TraceSource.reason(errno))") }
        guard let name = TraceSource.tools.first(where: { path.hasSuffix($0.key) })?.value else {
            descriptor = file
            tool = nil
            return
        }
        defer { close(file) }
        let (process, output) = try TraceSource.start(name, unpacking: file, path)
        descriptor = output
        tool = (name, process)
    }

    /// Starts `name -dc` with the file as its input.
    /// - Returns: Its process, and a descriptor to read its output from.
    private static func start(_ name: String, unpacking file: Int32, _ path: String) throws -> (pid_t, Int32) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw TraceError(path, "no pipe to \(name): \(reason(errno))") }
        let (output, input) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(input) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, file, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, input, STDOUT_FILENO)
        let arguments = [strdup(name), strdup("-dc"), nil]
        defer { for argument in arguments { free(argument) } }
        var process = pid_t()
        let result = posix_spawnp(&process, name, &actions, nil, arguments, environ)
        guard result == 0 else {
            close(output)
            throw TraceError(path, "to read it, \(name) is needed: \(reason(result))")
        }
        return (process, output)
    }

    /// Reads the next bytes, as many as there is room for or fewer.
    /// - Returns: How many; 0 at the end.
    /// - Throws: A TraceError where it cannot be read.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            guard errno == EINTR else { throw TraceError(path, "cannot be read: \(TraceSource.reason(errno))") }
        }
    }

    /// Closes the file and, where all has been read, asks the tool whether it went well.
    /// - Throws: A TraceError where it did not: the file is damaged.
    func finish(atEnd: Bool) throws {
        close(descriptor)
        guard let tool else { return }
        var status: Int32 = 0
        while waitpid(tool.process, &status, 0) < 0, errno == EINTR {}
        guard !atEnd || status == 0 else {
            throw TraceError(path, "\(tool.name) cannot unpack it (status \(status >> 8 & 0xFF))")
        }
    }

    private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}
