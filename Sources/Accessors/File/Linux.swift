import CLinux
import Glibc
import Paging
import SystemPackage

/// What the C shims answer, as Swift errors: their negative errno becomes an `Errno` (when opening) or an `AccessError`
/// (when serving).
enum Linux {
    /// The answer, if it is none of the negative ones.
    static func checked<Answer: FixedWidthInteger & SignedInteger>(_ answer: Answer) throws(Errno) -> Answer {
        guard answer < 0 else { return answer }
        throw Errno(rawValue: -Int32(answer))
    }

    /// Calls until a signal does not get in between.
    static func uninterrupted<Answer: FixedWidthInteger & SignedInteger>(
        _ call: () -> Answer
    ) throws(AccessError) -> Answer {
        while true {
            let answer = call()
            if answer >= 0 { return answer }
            guard answer == -Answer(EINTR) else { throw AccessError(failing: answer) }
        }
    }

    /// Opens until a signal does not get in between.
    static func opened(_ open: () -> Int32) throws(Errno) -> OwnedDescriptor {
        while true {
            let answer = open()
            if answer == -EINTR { continue }
            return OwnedDescriptor(FileDescriptor(rawValue: try checked(answer)))
        }
    }
}
