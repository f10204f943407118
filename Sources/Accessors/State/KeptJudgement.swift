import CStateFormat
import Glibc
import Paging

/// Whether an image is as a dead server has left it: whose is the last change?
///
/// | what is found                                              | judgement                                      |
/// |------------------------------------------------------------|------------------------------------------------|
/// | another file or disk                                       | other                                          |
/// | it is smaller, and data is owed beyond its new end         | other: it cannot get that data                 |
/// | another program writes it                                  | changed                                        |
/// | it is smaller, and nothing is owed beyond its new end      | changed                                        |
/// | the same disk (a block device)                             | untold: nothing says what others have written  |
/// | a file that a write-out has found changed                  | changed                                        |
/// | a larger file, with times of the server's life             | untold: it has grown while the server served it|
/// | a larger file, with other times, or with none that tell    | changed                                        |
/// | a file whose times prove nothing                           | untold                                         |
/// | no write of the server since it stamped the file: the stamp| same, or changed if it differs                 |
/// | writes since: its times are later than the server's life   | changed                                        |
/// | writes since: it was changed before the server's last look | changed: an older copy was put back            |
/// | writes since: any other times                              | same: the last change is the server's          |
///
/// A filesystem below the file may be rolled back to a snapshot. Nothing but the time of change shows that. If the
/// clock was set back after the look, the server's own writes have older times as well. Mostly its last sign of life is
/// older than the look, too. If not, a person decides.
///
/// Both times of a file count. Some programs set the time of modification back after they have written, but the time of
/// change shows it.
///
/// **Another size.** A server goes on with the old size while an image grows, so growth alone is no reason to keep its
/// data from it. An image is cut only by a person, or by a program that does not know of the server. So nothing goes
/// there by itself, but a person may say that it should. If data is owed beyond the end, that would never succeed: an
/// image is not made longer again.
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

    /// - Parameter owedEnd: Where the last byte that is owed to the image ends; 0 if nothing is.
    /// - Parameter alive: When the server was last alive.
    init(_ record: KeptImage, owedEnd: Int64, alive: UInt64, _ now: Sight) {
        let then = record.record.pointee
        self =
            KeptJudgement.identity(record, owedEnd, now)
            ?? (now.isBlockDevice ? .device(then, now) : .file(record, alive, now))
    }

    /// Nil if it is the same image as far as its identity can tell, and it has not become smaller.
    private static func identity(_ then: KeptImage, _ owedEnd: Int64, _ now: Sight) -> KeptJudgement? {
        let wasBlockDevice = then.record.pointee.is_block_device != 0
        guard wasBlockDevice == now.isBlockDevice, then.identity.inode == now.identity.inode,
            then.identity.birth == now.identity.birth
        else { return .other("another file has its name now") }
        let sizes = "it had \(then.size) bytes and has \(now.size) now"
        guard owedEnd <= now.size else { return .other("\(sizes), and data is owed beyond its end") }
        if now.isLocked { return .changed("another program has it locked for writing") }
        guard then.identity.device != now.identity.device else {
            return then.size > now.size ? .changed(sizes) : nil
        }
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

    private static func file(_ record: KeptImage, _ alive: UInt64, _ now: Sight) -> KeptJudgement {
        let then = record.record.pointee
        if then.is_stamped == 1, ImageStamp(keptIn: then) == .foreign { return .changed("it was found changed before") }
        if now.size > then.size { return grown(then, alive, now) }
        guard now.tellsChanges, let stamp = now.stamp, stamp.isFine else {
            return .untold("its filesystem does not tell every change")
        }
        if record.isStampProof {
            return stamp == ImageStamp(keptIn: then) ? .same : .changed("it is not as the last server saw it")
        }
        if now.hasForeignClock { return .untold("its times come from another machine") }
        if let change = foreignChange(stamp, then, alive) { return .changed("it \(change)") }
        return then.is_stamped == 1 ? .same : .untold("the last server had not looked at it")
    }

    private static func grown(_ then: flexpage_state_image, _ alive: UInt64, _ now: Sight) -> KeptJudgement {
        let growth = "it has grown from \(then.size) to \(now.size) bytes"
        guard now.tellsChanges, let stamp = now.stamp, stamp.isFine, !now.hasForeignClock else {
            return .changed("\(growth), and its times do not tell when")
        }
        if let change = foreignChange(stamp, then, alive) { return .changed("\(growth), and \(change)") }
        return .untold("\(growth) while the last server served it")
    }

    /// When a file was last changed, if that cannot have been the server: later than it lived, or before it looked at
    /// the file, which its own writes came after. Nil if it can.
    private static func foreignChange(
        _ stamp: ImageStamp, _ then: flexpage_state_image, _ alive: UInt64
    ) -> String? {
        let (last, seen) = (UInt64(max(0, stamp.lastTime)), ImageStamp(keptIn: then).changed)
        if last > alive, last - alive > grace {
            return "was changed \((last - alive) / 1_000_000_000) s after the last server was last alive"
        }
        guard then.is_stamped == 1, stamp.changed < seen, seen <= Int64(clamping: alive) else { return nil }
        return "was last changed before the last server looked at it, as an older copy would be"
    }
}
