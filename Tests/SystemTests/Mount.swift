import Glibc

/// A file system of memory, mounted in a directory of its own for as long as it is held.
final class Mount {
    let scratch: Scratch
    private let parent: Scratch

    init(_ type: String) throws {
        parent = try Scratch()
        guard mount(type, parent.directory, type, 0, "mode=755") == 0 else {
            throw Trouble("mount \(type): \(String(cString: strerror(errno)))")
        }
        scratch = try Scratch(in: parent.directory)
    }

    deinit {
        umount2(parent.directory, Int32(MNT_DETACH))
    }
}
