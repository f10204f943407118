import CStateFormat
import Synchronization

/// What is kept of one image: whose frames have its number. A pointer, cheap to copy.
///
/// The pager owns `in_use`, `size` and what a failed sync would lose. The Accessor owns the rest: where the image is
/// found, and how it was last seen (`Accessor.keep`). Thread rules: the record is filled before it is in use, and freed
/// when no frame names it. Fields that change meanwhile are words of their own.
public struct KeptImage: @unchecked Sendable {
    private let base: UnsafeMutableRawPointer

    init(at base: UnsafeMutableRawPointer) { self.base = base }

    /// The record as the format has it.
    public var record: UnsafeMutablePointer<flexpage_state_image> {
        base.assumingMemoryBound(to: flexpage_state_image.self)
    }

    /// Whether frames may name it.
    public var isInUse: Bool { record.pointee.in_use == 1 }

    /// Bytes in the image.
    public var size: Int64 { record.pointee.size }

    /// The image has another size now. Nothing live lies beyond it, and what is owed of its last page is whole.
    public func setSize(_ size: Int64) {
        flexpage_keep_order()
        record.pointee.size = size
        flexpage_keep_order()
    }

    /// Whether the stamp says how the image looked after the last call that changed it. Then a difference is another
    /// program's doing.
    public var isStampProof: Bool {
        let fields = record.pointee
        return fields.is_stamped == 1 && fields.writes_begun == fields.writes_when_stamped
    }

    public var isBlockDevice: Bool { record.pointee.is_block_device != 0 }

    public var identity: ImageIdentity {
        ImageIdentity(device: record.pointee.device, inode: record.pointee.inode, birth: record.pointee.birth)
    }

    /// The absolute path by which it was opened; empty if the Accessor has none.
    public var path: String {
        let count = Int(record.pointee.path_bytes)
        let bytes = base + MemoryLayout<flexpage_state_image>.offset(of: \flexpage_state_image.path)!
        return String(decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
    }

    /// The maximum length of a path, bytes of UTF-8.
    public static let maxPath = MemoryLayout.size(ofValue: flexpage_state_image().path)

    /// - Precondition: It has at most `maxPath` bytes.
    public func setPath(_ path: String) {
        precondition(path.utf8.count <= KeptImage.maxPath, "a longer path has been refused")
        let bytes = base + MemoryLayout<flexpage_state_image>.offset(of: \flexpage_state_image.path)!
        // A server that dies meanwhile leaves a path or none, and no mixture.
        record.pointee.path_bytes = 0
        flexpage_keep_order()
        UnsafeMutableRawBufferPointer(start: bytes, count: KeptImage.maxPath).copyBytes(from: path.utf8)
        flexpage_keep_order()
        record.pointee.path_bytes = UInt32(path.utf8.count)
    }

    /// A number that threads change without a lock.
    public func counter(
        _ field: KeyPath<flexpage_state_image, UInt64>
    ) -> UnsafeMutablePointer<Synchronization.Atomic<UInt64>> {
        (base + MemoryLayout<flexpage_state_image>.offset(of: field)!).assumingMemoryBound(
            to: Synchronization.Atomic<UInt64>.self)
    }

    /// What a failed sync would lose.
    var risk: UnsafeMutablePointer<SyncRisk.Record> {
        (base + MemoryLayout<flexpage_state_image>.offset(of: \flexpage_state_image.at_risk)!)
            .assumingMemoryBound(to: SyncRisk.Record.self)
    }

    /// Whether a failed sync has lost data of the image.
    public var hasLoss: Bool { record.pointee.loss != 0 }

    /// Whether a failed sync would lose something of the image that is not in memory any more: pages that were written
    /// out and recycled, zeroes, trims.
    public var isUnsynced: Bool {
        let fields = record.pointee
        return fields.at_risk != fields.at_risk_when_synced || fields.changes != 0
    }

    /// Whether a failed sync has lost data of the image, or the next one would. Then the record is worth keeping
    /// without any pages.
    public var isAtRisk: Bool { hasLoss || isUnsynced }

    /// Whether the server died in a sync that may have lost something: see `SyncRisk`.
    public var isSyncUnknown: Bool { record.pointee.is_syncing != 0 && isUnsynced }

    /// Syncs the image of a dead server without a pager. Afterwards nothing is unsynced, or it is lost for good: a
    /// failed sync is never retried into success.
    public func sync(_ makeDurable: () throws(AccessError) -> Void) throws(AccessError) {
        record.pointee.is_syncing = 1
        flexpage_keep_order()
        do throws(AccessError) {
            try makeDurable()
        } catch {
            if isUnsynced { record.pointee.loss = UInt8(truncatingIfNeeded: error.code) }
            flexpage_keep_order()
            record.pointee.is_syncing = 0
            throw error
        }
        record.pointee.at_risk_when_synced = record.pointee.at_risk
        flexpage_keep_order()
        record.pointee.changes = 0
        flexpage_keep_order()
        record.pointee.is_syncing = 0
    }

    /// Fills the record for an image that has just been opened, and puts it to use.
    func begin(_ accessor: any Accessor) {
        assert(!isInUse, "an image has a number of its own")
        // A thread that still has the Provider of the last image with this number may look at what a failed sync would
        // lose.
        record.zeroWords()
        record.pointee.size = accessor.size
        accessor.keep(in: self)
        flexpage_keep_order()
        record.pointee.in_use = 1
        flexpage_keep_order()
    }

    /// Frees the record. No frame names it.
    func end() { record.pointee.in_use = 0 }

    /// Whether it could be a record that a server has left.
    var isSound: Bool {
        let fields = record.pointee
        guard fields.in_use != 0 else { return true }
        return fields.in_use == 1 && fields.is_block_device <= 1 && fields.is_stamped <= 1
            && (0...PageKey.maxImageSize).contains(fields.size) && fields.is_syncing <= 1
            && fields.reserved == 0
            // A failure has an error.
            && (fields.sync_failures == 0 || fields.sync_failures >> 56 != 0) && isPathSound
    }

    /// Whether the path is absolute, or there is none.
    private var isPathSound: Bool {
        let count = Int(record.pointee.path_bytes)
        guard count > 0 else { return true }
        guard count <= KeptImage.maxPath else { return false }
        let start = base + MemoryLayout<flexpage_state_image>.offset(of: \flexpage_state_image.path)!
        let bytes = UnsafeRawBufferPointer(start: start, count: count)
        return bytes[0] == UInt8(ascii: "/") && !bytes.contains(0) && String(validating: bytes, as: UTF8.self) != nil
    }
}
