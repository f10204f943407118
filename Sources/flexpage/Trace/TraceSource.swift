import Glibc

/// The bytes of a trace file, decompressed by `zstd` or `gzip` if the file's name ends in `.zst` or `.gz`.
final class TraceSource {
    private let path: String
    private let descriptor: Int32
    /// The decompressing program and its process, if there is one.
    private let tool: (name: String, process: pid_t)?

    private static let tools = [".zst": "zstd", ".gz": "gzip"]

    /// Opens the file.
    /// - Throws: A TraceError if the file or the program for it is missing.
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
        guard pipe(&ends) == 0 else { throw TraceError(path, "cannot create a pipe to \(name): \(reason(errno))") }
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
            throw TraceError(path, "\(name) is needed to read it: \(reason(result))")
        }
        return (process, output)
    }

    /// Reads the next bytes, at most as many as fit into `buffer`.
    /// - Returns: Their number; 0 at the end.
    /// - Throws: A TraceError if the file cannot be read.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            guard errno == EINTR else { throw TraceError(path, "cannot be read: \(TraceSource.reason(errno))") }
        }
    }

    /// Closes the file. If everything was read, checks that the program succeeded.
    /// - Throws: A TraceError if it did not, because the file is damaged.
    func finish(atEnd: Bool) throws {
        close(descriptor)
        guard let tool else { return }
        var status: Int32 = 0
        while waitpid(tool.process, &status, 0) < 0, errno == EINTR {}
        guard !atEnd || status == 0 else {
            throw TraceError(path, "\(tool.name) cannot decompress it (exit status \(status >> 8 & 0xFF))")
        }
    }

    private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}
