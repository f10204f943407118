import Glibc
import SystemPackage
import TestSupport

@testable import Accessors
@testable import Paging

/// A state file on a tmpfs, which a test fills by hand as a server would.
final class StateRig {
    /// Whether there is a tmpfs for it.
    static let isAvailable = (try? StateRig()) != nil
    static let needs = "there is no tmpfs on /dev/shm"

    let scratch: Scratch
    let path: FilePath
    private(set) var file: StateFile
    private(set) var state: KeptState
    private(set) var mark: ServerMark

    /// - Parameter frames: The number of frames.
    init(frames: Int = 64) throws {
        scratch = try Scratch(in: "/dev/shm")
        path = scratch("state")
        file = try StateFile(path)
        state = try file.make(KeptLayout(frames: frames, unit: file.unit))
        mark = try file.takeCharge(of: state) { _ in }
        state.noteAlive()
    }

    /// The server ends, and another one takes charge.
    func takeOver(log: (String) -> Void = { _ in }) throws {
        let frames = state.frames
        close()
        file = try StateFile(path, create: false, log: log)
        guard case .same(let state) = try file.take(KeptLayout(frames: frames, unit: file.unit)) else {
            throw Trouble("the state is not taken over")
        }
        self.state = state
        mark = try file.takeCharge(of: state, log: log)
    }

    /// The file is closed, as by the death of its server.
    func close() {
        // Whatever is next takes the place of both, so that the mapping goes.
        if let other = try? StateFile(scratch("other")) {
            file = other
            if let layout = try? file.make(KeptLayout(frames: 1, unit: file.unit)) { state = layout }
        }
    }

    /// Opens an image as the server's image `number`.
    func open(_ image: FilePath, as number: Int = 0, direct: DirectMode = .auto) throws -> ImageFile {
        let image = try ImageFile(path: image, direct: direct, mark: mark)
        state.image(number).begin(image)
        return image
    }

    /// Frame `frame` holds a base page that is owed.
    func owe(_ bytes: [UInt8], image: Int = 0, page: Int, frame: Int) {
        bytes.withUnsafeBytes {
            state.write(
                PageKey(image: UInt16(image), page: UInt64(page)), to: state.memory(ofFrame: frame),
                from: $0.baseAddress!, count: $0.count)
        }
    }

    /// Frame `frame` holds a base page as the image has it.
    func keep(_ bytes: [UInt8], image: Int = 0, page: Int, frame: Int) {
        bytes.withUnsafeBytes { state.memory(ofFrame: frame).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        state.publish(Region(first: UInt32(frame), order: 0), PageKey(image: UInt16(image), page: UInt64(page)))
    }

    /// What the frames hold: image, page, and whether it is owed.
    var words: [String] {
        (0..<state.frames).filter { state[$0].isLive }.map {
            "\($0): \(state[$0].image) \(state[$0].page)\(state[$0].isOwed ? " owed" : "")"
        }
    }
}
