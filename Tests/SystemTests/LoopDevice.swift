import Glibc

/// A block device made of a file, for as long as it is held.
final class LoopDevice {
    let path: String

    init(_ file: String, readOnly: Bool = false) throws {
        let result = try Subprocess.run(["losetup", "--find", "--show"] + (readOnly ? ["--read-only"] : []) + [file])
        guard result.status == 0 else { throw Trouble("losetup: \(result.output)") }
        path = String(result.output.dropLast())
    }

    deinit {
        _ = try? Subprocess.run("losetup", "--detach", path)
    }
}
