import Glibc
import SystemPackage

@testable import Accessors

/// What the machine can do, for tests that need it.
enum Machine {
    static let isRoot = geteuid() == 0

    /// Whether temporary files can be had past the page cache.
    static let hasDirect: Bool = {
        let scratch = Scratch()
        return (try? ImageFile(path: scratch.file(pattern(8192)), direct: .on)) != nil
    }()

    /// Whether temporary files can have holes punched.
    static let punchesHoles: Bool = {
        let scratch = Scratch()
        guard let image = try? ImageFile(path: scratch.file(pattern(8192))) else { return false }
        return (try? image.trim(0..<4096)) != nil
    }()
}

/// Runs `body` with another user's rights to files. They are a thread's own in Linux, so the rest of the process keeps
/// its own.
func asNobody<Result>(_ body: () throws -> Result) rethrows -> Result {
    typealias SetFSUID = @convention(c) (UInt32) -> Int32
    let symbol = dlsym(nil, "setfsuid")!
    let setFSUID = unsafeBitCast(symbol, to: SetFSUID.self)
    _ = setFSUID(65534)
    defer { _ = setFSUID(0) }
    return try body()
}

/// Sizes around the units that matter.
let awkwardSizes = [0, 1, 511, 512, 513, 4095, 4096, 4097, 8191, 8192, 10_000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1]
