import CStateFormat
import Glibc
import Paging

/// Whether an image is as a dead server has left it: whose is the last change?
///
/// | what is found                                              | judgement                                      |
/// |------------------------------------------------------------|------------------------------------------------|
/// | another file or disk, or another size                      | other                                          |
/// | another program writes it                                  | changed                                        |
/// | the same disk (a block device)                             | untold: nothing says what others have written  |
/// | a file whose times prove nothing                           | untold                                         |
/// | no write of the server since it stamped the file: the stamp| same, or changed if it differs                 |
/// | writes since: its times are later than the server's life   | changed                                        |
/// | writes since: any other times                              | same: the last change is the server's          |
///
/// Both times of a file count. Some programs set the time of modification back after they have written, but the time of
/// change shows it.
public enum KeptJudgement: Equatable, Sendable {
    /// All that is kept of the image is good.
    case same
    /// Clean pages may be stale: they are dropped. What is owed goes to the image.
    case untold(String)
    /// Others have changed the image: clean pages are dropped. What is owed goes to it only if a person says so.
    case changed(String)
    /// It is not the image that the server had. Nothing that is kept belongs to it.
    case other(String)

    /// What is seen of the image now.
    struct Sight {
        var identity: ImageIdentity
        var isBlockDevice = false
        var size: Int64
        /// Of a block device; 0 if the kernel does not tell.
        var diskSequence: UInt64 = 0
        /// Of a file.
        var stamp: ImageStamp?
        /// Every change moves the stamp.
        var tellsChanges = true
        /// The times come from another machine.
        var hasForeignClock = false
        /// Another program has it locked for writing.
        var isLocked = false
    }

    /// How much later than its last sign of life a server may have changed a file, nanoseconds.
    private static let grace: UInt64 = 1_000_000_000

    /// - Parameter alive: When the server was last alive.
    init(_ record: KeptImage, alive: UInt64, _ now: Sight) {
        let then = record.record.pointee
        self =
            KeptJudgement.identity(record, now) ?? (now.isBlockDevice ? .device(then, now) : .file(then, alive, now))
    }

    /// Nil if it is the same image as far as its identity and size can tell.
    private static func identity(_ then: KeptImage, _ now: Sight) -> KeptJudgement? {
        let wasBlockDevice = then.record.pointee.is_block_device != 0
        guard wasBlockDevice == now.isBlockDevice, then.identity.inode == now.identity.inode,
            then.identity.birth == now.identity.birth
        else { return .other("another file has its name now") }
        guard then.size == now.size else {
            return .other("it had \(then.size) bytes and has \(now.size) now")
        }
        if now.isLocked { return .changed("another program has it locked for writing") }
        guard then.identity.device != now.identity.device else { return nil }
        // Filesystems without a device of their own get another number with each mount. A copy of the filesystem has
        // the same inodes, though.
        return now.isBlockDevice || now.identity.birth == 0
            ? .other("another file has its name now") : .changed("its filesystem is not the same, or was mounted anew")
    }

    private static func device(_ then: flexpage_state_image, _ now: Sight) -> KeptJudgement {
        guard then.disk_sequence == now.diskSequence else { return .other("another disk has its number now") }
        if now.diskSequence == 0 { return .changed("this kernel does not tell whether it is still the same disk") }
        return .untold("nothing tells whether others have written to a block device")
    }

    private static func file(_ then: flexpage_state_image, _ alive: UInt64, _ now: Sight) -> KeptJudgement {
        guard now.tellsChanges, let stamp = now.stamp, stamp.isFine else {
            return .untold("its filesystem does not tell every change")
        }
        if then.is_stamped == 1, then.writes_begun == then.writes_when_stamped {
            return stamp == ImageStamp(keptIn: then) ? .same : .changed("it is not as the last server saw it")
        }
        if now.hasForeignClock { return .untold("its times come from another machine") }
        let last = UInt64(max(0, stamp.lastTime))
        if last > alive, last - alive > grace {
            return .changed("it was changed \((last - alive) / 1_000_000_000) s after the last server was last alive")
        }
        return then.is_stamped == 1 ? .same : .untold("the last server had not looked at it")
    }
}
