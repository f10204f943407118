import Glibc

/// A block device made of a file, for as long as this is held.
package final class LoopDevice {
    package let path: String
    /// The file that it is made of.
    package let file: String
    /// The directory of that file, if it was made for the device.
    private let scratch: Scratch?

    package init(_ file: String, readOnly: Bool = false) throws {
        self.file = file
        scratch = nil
        path = try Self.attach(file, readOnly ? ["--read-only"] : [])
    }

    /// A device over a hole of its own.
    /// - Parameter size: Bytes; a multiple of 512.
    package init(size: Int, options: String...) throws {
        let scratch = Scratch()
        self.scratch = scratch
        file = scratch.path("backing")
        try Files.resize(file, to: size)
        path = try Self.attach(file, options)
    }

    private static func attach(_ file: String, _ options: [String]) throws -> String {
        var output = ""
        // Another process may take a free device between the search and the set-up.
        for _ in 0..<10 {
            let result = try Subprocess.run(["losetup", "--find", "--show"] + options + [file])
            if result.status == 0 { return String(result.output.dropLast()) }
            output = result.output
            if !output.contains("busy") { break }
        }
        throw Trouble("losetup: \(output)")
    }

    deinit {
        _ = try? Subprocess.run("losetup", "--detach", path)
    }
}
