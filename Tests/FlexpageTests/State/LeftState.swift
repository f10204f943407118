import Accessors
import Glibc
import SystemPackage
import TestSupport

@testable import Paging

/// A state file as a dead server has left it, with one image to which pages are owed.
struct LeftState {
    /// Whether there is a tmpfs for it.
    static let isPossible = (try? LeftState()) != nil
    static let needs = "there is no tmpfs on /dev/shm"

    let path: String
    let image: String
    private let scratch: Scratch
    private let disk = Scratch()

    /// - Parameter pages: The numbers of base pages that are owed, of an image of 256 pages of the byte 1. Each is of
    ///   the byte 2.
    /// - Parameter unsynced: A failed sync would lose something that is not in the file.
    init(owing pages: [Int] = [3, 4, 9], clean: [Int] = [0], unsynced: Bool = false) throws {
        scratch = try Scratch(in: "/dev/shm")
        path = scratch.path("state")
        image = disk.path("image")
        try Files.write([UInt8](repeating: 1, count: 1 << 20), to: image)
        let file = try StateFile(FilePath(path))
        let state = try file.make(KeptLayout(frames: 64, unit: file.unit))
        let mark = try file.takeCharge(of: state) { _ in }
        let opened = try ImageFile(path: FilePath(image), mark: mark)
        state.image(0).begin(opened)
        try opened.beginWriting()
        let bytes = [UInt8](repeating: 2, count: 4096)
        for (frame, page) in pages.enumerated() {
            state.write(
                PageKey(image: 0, page: UInt64(page)), to: state.memory(ofFrame: frame), from: bytes, count: 4096)
        }
        for (index, page) in clean.enumerated() {
            let frame = pages.count + index
            memset(state.memory(ofFrame: frame), 1, 4096)
            state.publish(Region(first: UInt32(frame), order: 0), PageKey(image: 0, page: UInt64(page)))
        }
        if unsynced { state.image(0).record.pointee.at_risk = 1 }
        state.noteAlive()
    }

    /// Changes a byte of the file.
    func damage(at offset: Int) throws {
        let byte = try Files.bytes(path, upTo: offset + 1)[offset]
        try Files.write([byte ^ 0xFF], to: path, at: offset)
    }

    /// Base pages of the image that hold 2 now.
    var written: [Int] {
        get throws {
            let bytes = try Files.bytes(image)
            return (0..<bytes.count / 4096).filter { bytes[$0 * 4096] == 2 && bytes[$0 * 4096 + 4095] == 2 }
        }
    }

    var exists: Bool { access(path, F_OK) == 0 }
}
