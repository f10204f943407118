// The kernel's files on control groups. Whatever they say, the bounds are those of files that exist, and nothing traps.
import Glibc
import SystemPackage

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let bytes = UnsafeBufferPointer(start: data, count: count)
    // Up to the first zero byte the input is /proc/self/cgroup, and after it /proc/self/mountinfo.
    let parts = bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
    FalseRoot.put("proc/self/cgroup", parts[0])
    FalseRoot.put("proc/self/mountinfo", parts.count > 1 ? parts[1] : bytes[0..<0])
    for bound in ControlGroups(root: FilePath(FalseRoot.path)).memoryBounds() {
        precondition(!bound.owner.isEmpty, "a bound says whose it is")
    }
    return 0
}

/// A folder in place of /, with nothing else in it.
private enum FalseRoot {
    static let path: String = {
        var template = Array("/tmp/flexpage-fuzz.XXXXXX".utf8CString)
        precondition(mkdtemp(&template) != nil, "there is room for a folder")
        let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        for folder in ["proc", "proc/self"] {
            precondition(mkdir("\(path)/\(folder)", 0o700) == 0, "the folder is new")
        }
        atexit { FalseRoot.remove() }
        return path
    }()

    static func put(_ name: String, _ bytes: Slice<UnsafeBufferPointer<UInt8>>) {
        let file = open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        precondition(file >= 0, "the file can be written")
        precondition(write(file, UnsafeBufferPointer(rebasing: bytes).baseAddress, bytes.count) == bytes.count, "whole")
        close(file)
    }

    private static func remove() {
        for name in ["proc/self/cgroup", "proc/self/mountinfo"] { unlink("\(path)/\(name)") }
        for folder in ["/proc/self", "/proc", ""] { rmdir(path + folder) }
    }
}
