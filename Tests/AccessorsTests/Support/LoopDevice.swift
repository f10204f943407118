import SystemPackage

/// A block device over a file of its own, while it lives.
final class LoopDevice {
    let path: FilePath
    let file: FilePath
    private let scratch = Scratch()

    static let isAvailable = (try? LoopDevice(size: 1 << 20)) != nil

    struct Unavailable: Error { let output: String }

    /// - Parameter size: Bytes; a multiple of 512.
    init(size: Int64, options: String = "") throws {
        file = scratch.hole(size, named: "backing")
        // Between finding a free one and taking it another may be faster.
        for _ in 0..<10 {
            let (status, output) = shell("losetup --find --show \(options) '\(file)'")
            if status == 0 {
                path = FilePath(output)
                return
            }
            if !output.contains("busy") { throw Unavailable(output: output) }
        }
        throw Unavailable(output: "no free loop device")
    }

    deinit { shell("losetup --detach '\(path)'") }
}
