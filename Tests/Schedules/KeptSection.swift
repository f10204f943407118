import Glibc

@testable import Paging

/// What a server leaves for the next one, in memory of the test. After a fork, either process has its own.
final class KeptSection: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer
    let kept: KeptState
    /// Bytes of a Memory with this section.
    let memory: Int

    init(frames: Int) {
        let layout = KeptLayout(frames: frames)
        // Which frames a block has depends on the address. A seed alone is to decide it.
        bytes = .allocate(byteCount: layout.bytes, alignment: 1 << 20)
        memset(bytes.baseAddress!, 0, bytes.count)
        kept = KeptState(making: layout, at: bytes.baseAddress!)
        memory = Metadata.bytes(forFrames: frames, keptIn: BasePage.size)
    }

    deinit { bytes.deallocate() }
}
