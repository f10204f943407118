import Glibc
import Paging

/// An image of which a dead server has left copies, and which no client here has opened yet.
///
/// All that is known of it is its record. So it takes no I/O to have it: a disk that hangs holds up nobody but its own
/// clients. It rests from the beginning. The first client opens the file, and that file is compared with the record.
///
///     made from the record ── wake, as the record says ──▶ open ── rest ──▶ resting
///      (resting)                                            ▲                  │
///                                                           └──── wake ────────┘
///
/// The record must be one that can be compared: see `init`. While the image rests the record stays as it is, and the
/// server after this one may do the same with it.
///
/// **Threads.** As `ImageFile`: `rest` and `wake` come alone. Until the first `wake`, nothing else is called that needs
/// the file. From then on each call is the file's own.
public final class InheritedImage: ImageSource, @unchecked Sendable {
    private let record: KeptImage
    public let identity: ImageIdentity
    public let size: Int64
    public let label: String
    /// Nil until the image has been opened.
    public private(set) var file: ImageFile?

    /// Nil if the record does not prove anything: the server had not looked at the image after its last change; it is a
    /// block device, where changes cannot be seen; or a later file could be taken for this one.
    /// - Parameter record: Of an image to which nothing is owed, and which nothing is at risk of.
    public init?(_ record: KeptImage) {
        guard record.isStampProof, !record.isBlockDevice, record.identity.birth != 0 else { return nil }
        self.record = record
        identity = record.identity
        size = record.size
        label = record.path.withoutControls
    }

    // MARK: Rest

    public func rest() { file?.rest() }

    public func wake(with other: any Accessor) -> Bool {
        if let file { return file.wake(with: other) }
        // With no write since the stamp no clock is asked.
        guard let other = other as? ImageFile, other.judge(record, alive: 0) == .same else { return false }
        other.keep(in: record)
        file = other
        return true
    }

    /// The file, for a call that comes only if the image is open.
    private var opened: ImageFile {
        guard let file else { preconditionFailure("an image that rests is not called") }
        return file
    }

    // MARK: Accessor

    public var isWritable: Bool { file?.isWritable ?? false }

    public func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        try opened.populate(pieces, at: offset)
    }

    public func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        try opened.writeOut(pieces, at: offset)
    }

    public func writeOut(_ writes: UnsafeMutableBufferPointer<WriteOut>) { opened.writeOut(writes) }

    public var partUnit: Int? { file?.partUnit }

    public func writeParts(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        try opened.writeParts(pieces, at: offset)
    }

    public func makeDurable() throws(AccessError) { try opened.makeDurable() }

    public func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {
        try opened.zero(range, mayTrim: mayTrim, onlyIfFast: onlyIfFast)
    }

    public func trim(_ range: Range<Int64>) throws(AccessError) { try opened.trim(range) }

    public func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        try opened.extents(of: range, report)
    }

    public var isStampDue: Bool { opened.isStampDue }

    public func noteStamp() -> Bool { opened.noteStamp() }

    // MARK: ImageSource

    public var readOnlyReason: String? { file?.readOnlyReason }

    public var isRotational: Bool { file?.isRotational ?? false }

    public var descriptors: [Int32] { file?.descriptors ?? [] }

    public func privilegesDropped() { file?.privilegesDropped() }

    public func beginWriting(ifChanged forget: () -> Void) throws { try opened.beginWriting(ifChanged: forget) }

    public func endWriting() { opened.endWriting() }

    public func beginReading(ifChanged forget: () -> Void) { opened.beginReading(ifChanged: forget) }

    public func noteLastStamp() { opened.noteLastStamp() }

    public func newsOfName() -> String? { opened.newsOfName() }
}
