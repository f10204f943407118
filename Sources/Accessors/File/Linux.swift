import CLinux
import Glibc
import Paging
import SystemPackage

/// The answers of the C shims as Swift errors. A negative errno becomes an `Errno` (when opening) or an `AccessError`
/// (when serving).
enum Linux {
    /// Returns the answer unless it is negative.
    static func checked<Answer: FixedWidthInteger & SignedInteger>(_ answer: Answer) throws(Errno) -> Answer {
        guard answer < 0 else { return answer }
        throw Errno(rawValue: -Int32(answer))
    }

    /// Calls until no signal interrupts.
    static func uninterrupted<Answer: FixedWidthInteger & SignedInteger>(
        _ call: () -> Answer
    ) throws(AccessError) -> Answer {
        while true {
            let answer = call()
            if answer >= 0 { return answer }
            guard answer == -Answer(EINTR) else { throw AccessError(failing: answer) }
        }
    }

    /// Opens until no signal interrupts.
    static func opened(_ open: () -> Int32) throws(Errno) -> OwnedDescriptor {
        while true {
            let answer = open()
            if answer == -EINTR { continue }
            return OwnedDescriptor(FileDescriptor(rawValue: try checked(answer)))
        }
    }
}
