import Glibc
import TestSupport

/// A sparse image on a small file system of its own, and a ballast that leaves it little space.
final class FullDisk {
    /// The kinds of file system that are available.
    static var kinds: [String] {
        [("tmpfs", Machine.canMount("tmpfs")), ("ext4", Machine.canLoop && Subprocess.exists("mkfs.ext4"))]
            .compactMap { $0.1 ? $0.0 : nil }
    }

    static let size = 48 << 20
    let image: String
    private let mount: Mount
    private let device: LoopDevice?
    private let files: Scratch
    private var ballast: String { mount.scratch.path("ballast") }

    /// - Parameter left: Bytes that can still be written, approximately.
    init(_ kind: String, imageSize: Int, left: Int) throws {
        files = Scratch()
        if kind == "tmpfs" {
            device = nil
            mount = try Mount("tmpfs", options: "mode=755,size=\(Self.size)")
        } else {
            let file = files.path("ext4")
            try Files.resize(file, to: Self.size)
            let made = try Subprocess.run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", file)
            guard made.status == 0 else { throw Trouble("mkfs.ext4: \(made.output)") }
            let device = try LoopDevice(file)
            self.device = device
            mount = try Mount("ext4", options: "", device: device.path)
        }
        image = mount.scratch.path("disk.img")
        try Files.resize(image, to: imageSize)
        try fill(leaving: left)
    }

    private func fill(leaving left: Int) throws {
        var facts = statvfs()
        guard statvfs(mount.scratch.directory, &facts) == 0 else { throw Trouble("statvfs") }
        let free = Int(facts.f_bfree) * Int(facts.f_frsize)
        let made = try Subprocess.run("fallocate", "--length", "\(free - left)", ballast)
        guard made.status == 0 else { throw Trouble("fallocate: \(made.output)") }
    }

    /// Gives a part of the image its space, and then takes what is left of the disk.
    func allocate(_ bytes: [UInt8], at offset: Int) throws {
        try Files.write(bytes, to: image, at: offset)
        let descriptor = open(mount.scratch.path("rest"), O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Trouble("open the rest: \(errno)") }
        defer { close(descriptor) }
        let page = [UInt8](repeating: 1, count: 4096)
        while write(descriptor, page, page.count) == page.count, fsync(descriptor) == 0 {}
    }

    /// Frees the space.
    func free() throws {
        guard unlink(ballast) == 0 else { throw Trouble("unlink \(ballast)") }
    }
}
