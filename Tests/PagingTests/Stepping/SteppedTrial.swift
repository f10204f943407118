import CStepping
import Glibc
import TestSupport

@testable import Paging

/// A server that does one operation, an instruction at a time, and could die before each of them.
///
/// The server runs in a fork. Its kept memory and its image are shared with this process, which copies them and lets
/// the next server take over the copy. Everything that was answered before must be there. Each sector that the
/// operation changes must be the old one or the new one, and the new one once the operation is done. After a flush, the
/// image must hold the same.
///
/// The next server is tried at each change of what stands before the frames, and of the image. Most instructions change
/// neither. Changes of the frames' bytes are tried now and then: a seed draws when.
final class SteppedTrial {
    /// Whether this process can step through a fork.
    static let isPossible = stepping_is_possible()
    #if arch(x86_64)
        static let needs = "This process may not trace its fork with ptrace."
    #else
        static let needs = """
            It needs x86-64. Elsewhere an atomic change is a load and a store that fails if anything comes between \
            them. A single step does, so the change would be tried again for ever.
            """
    #endif

    static let frames = 64
    static let pages = 96
    static let size = Int64(pages * BasePage.size)

    let rig: KeptRig
    private let image: SteppedImage
    private let operation: SteppedOperation
    private var random: SplitMix64
    /// What clients would read before the operation, and after it.
    private let before: [UInt8]
    private let after: [UInt8]

    // What the next server was tried with last.
    private let tried: KeptRig.Section
    private var triedChange = 0

    /// One in this number of instructions looks at the frames' bytes.
    private var stride = Soak.isOn ? 1 : 13
    private(set) var trials = 0
    private(set) var steps = 0
    /// What is wrong, or nil.
    private(set) var finding: String?

    init(_ operation: SteppedOperation, seed: UInt64) throws {
        self.operation = operation
        random = SplitMix64(seed: seed)
        var bytes = [UInt8](repeating: 0, count: SteppedTrial.pages * BasePage.size)
        bytes.withUnsafeMutableBytes { Pattern(key: 8).copy(to: $0, at: 0) }
        image = SteppedImage(bytes)
        rig = try KeptRig(frames: SteppedTrial.frames, images: [image])
        try operation.setUp(rig)
        tried = KeptRig.Section(copying: rig.section)
        // Through a next server, because a read through this one would change its queue.
        before = try KeptRig(after: rig.death(), images: [SteppedImage(image.bytes)]).read(0..<SteppedTrial.size)
        after = operation.result(before)
    }

    /// Does the operation in this process. The fork has one thread, so it must not come upon a lock of the Swift
    /// runtime that another one has: nothing is new to it after this.
    func rehearse() {
        operation.run(rig)
        _ = flaw(isOver: true)
    }

    /// Steps through the operation.
    func run() {
        let result = stepping_run(
            { Unmanaged<SteppedTrial>.fromOpaque($0!).takeUnretainedValue().runOperation() },
            { Unmanaged<SteppedTrial>.fromOpaque($0!).takeUnretainedValue().look($1) },
            Unmanaged.passUnretained(self).toOpaque())
        steps = result.steps
        if result.is_stopped { return }
        finding = result.signal == 0 ? flaw(isOver: true) : "the operation has ended with signal \(result.signal)"
    }

    private func runOperation() { operation.run(rig) }

    // MARK: Looks

    private func look(_ step: Int) -> Bool {
        let change = image.changeNumber
        guard change % 2 == 0, change != triedChange || hasChanged else { return true }
        triedChange = change
        tried.bytes.copyMemory(from: UnsafeRawBufferPointer(rig.section.bytes))
        trials += 1
        guard let flaw = flaw(isOver: false) else { return true }
        finding = "dead before step \(step): \(flaw)"
        return false
    }

    /// Whether what is kept differs from what was tried last.
    private var hasChanged: Bool {
        let (now, then) = (rig.section.bytes, tried.bytes)
        let metadata = KeptLayout(frames: SteppedTrial.frames).memoryOffset
        if memcmp(now.baseAddress!, then.baseAddress!, metadata) != 0 { return true }
        guard random.once(in: stride), memcmp(now.baseAddress!, then.baseAddress!, now.count) != 0 else { return false }
        // Long copies are looked at less and less often.
        if !Soak.isOn, trials % 64 == 63 { stride *= 2 }
        return true
    }

    /// What is wrong with what the next server would find now.
    private func flaw(isOver: Bool) -> String? {
        do {
            let copy = SteppedImage(image.bytes)
            let next = try KeptRig(after: rig.death(), images: [copy])
            next.pages.checkInvariants(isQuiet: true)
            let found = try next.read(0..<SteppedTrial.size)
            if let flaw = flaw(of: found, isOver) { return flaw }
            try next.providers[0].flush()
            return copy.bytes == found ? nil : "the image is not what was read"
        } catch {
            return "\(error)"
        }
    }

    private func flaw(of found: [UInt8], _ isOver: Bool) -> String? {
        for sector in 0..<found.count / 512 {
            let range = sector * 512..<(sector + 1) * 512
            let (old, new) = (found[range] == before[range], found[range] == after[range])
            if !new, !old || isOver { return "sector \(sector % 8) of page \(sector / 8) is neither old nor new" }
        }
        return nil
    }
}
