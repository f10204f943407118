import Foundation
import Glibc
import TestSupport
import Testing

/// A filesystem of the kernel's on a real export, through nbdfuse and a loop device.
@Suite(.serialized, .enabled(if: Machine.canMountExports, "needs root, FUSE with nbdfuse, a loop device, and ext4"))
struct FilesystemTests {
    /// A tree of files of all sizes; the test compares their checksums.
    private func makeTree(_ directory: String) throws {
        var random = SplitMix64(seed: 11)
        for folder in 0..<12 {
            let path = "\(directory)/\(folder)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            for file in 0..<24 {
                let size = Int.random(
                    in: 0...[100, 5000, 70_000, 900_000].randomElement(using: &random)!, using: &random)
                try Files.write(Image.bytes(0..<size, seed: UInt64(folder * 100 + file)), to: "\(path)/\(file)")
            }
        }
    }

    private func checksums(_ directory: String) throws -> String {
        try run("sh", "-c", "cd \(directory) && find . -type f -print0 | sort -z | xargs -0 sha256sum")
    }

    @discardableResult
    private func run(_ arguments: String...) throws -> String {
        let result = try Subprocess.run(arguments, seconds: 300)
        guard result.status == 0 else { throw Trouble("\(arguments.prefix(8)): \(result.output)") }
        return result.output
    }

    /// Mounts the export's filesystem while `body` runs.
    private func mounted(_ server: Server, _ body: (_ directory: String, _ device: String) throws -> Void) throws {
        let fuse = try FuseExport(server)
        do {
            let device = try LoopDevice(fuse.file)
            let mount = try Mount("ext4", options: "", device: device.path)
            try body(mount.directory, device.path)
            try mount.end()
        }
        try fuse.end()
    }

    /// ext4 finds what it wrote: mkfs, a tree copied, compared, a part deleted, trimmed, more copied, remounted through
    /// a new server, checked by fsck and by checksums; with much memory and with little. The image itself, without a
    /// server, is sound and holds the same files.
    @Test(arguments: ["64M", "8M"])
    func ext4(_ memory: String) throws {
        let scratch = Scratch()
        let (path, tree) = (scratch.path("disk.img"), scratch.path("tree"))
        try Files.resize(path, to: 256 << 20)
        try makeTree(tree)
        let wanted = try checksums(tree)
        let parameters = [path, "memory=\(memory)"]
        let options = Server.Options(isVerbose: false)
        var server = try Server(parameters, options)
        do {
            let fuse = try FuseExport(server)
            try run("mkfs.ext4", "-q", "-F", fuse.file)
            try fuse.end()
        }
        try mounted(server) { directory, _ in
            try run("cp", "-r", tree, "\(directory)/first")
            #expect(try checksums("\(directory)/first") == wanted)
            try run("cp", "-r", tree, "\(directory)/second")
            try run("rm", "-r", "\(directory)/first")
            try run("fstrim", directory)
            try run("cp", "-r", tree, "\(directory)/third")
        }
        #expect(try server.stop() == 0)
        server = try Server(parameters, options)
        try mounted(server) { directory, _ in
            let found = (try checksums("\(directory)/second"), try checksums("\(directory)/third"))
            #expect(found == (wanted, wanted))
        }
        #expect(try server.stop() == 0)
        #expect(!server.log.contains("error"))
        try run("fsck.ext4", "-f", "-n", path)
        let device = try LoopDevice(path, readOnly: true)
        let mount = try Mount("ext4", options: "noload", device: device.path, isReadOnly: true)
        #expect(try checksums("\(mount.directory)/second") == wanted)
        #expect(try checksums("\(mount.directory)/third") == wanted)
        try mount.end()
    }
}
