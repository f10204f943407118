import Paging

/// What a server serves: an `Accessor`, and all that the server has to know of an image beside its bytes.
///
/// The pager needs no more than an Accessor. A server also lets clients in and out, says why it refuses one, and takes
/// care of what a fork copies. A new kind of image implements this; what opens images makes one; nothing else of the
/// server knows what kinds there are.
///
///     opened ── privilegesDropped ──▶ serving ── first beginWriting ──▶ others are kept out
///                                      │   ▲                                    │
///                        beginReading  └───┴────────── last endWriting ─────────┘
///
/// Rules for the implementer, beside those of `Accessor`:
/// - Whatever takes privileges is done when it is opened: a server gives them up before it serves.
/// - Being open for writing keeps nobody out. That begins with the first `beginWriting` and ends with the last
///   `endWriting`.
/// - Any thread may call anything at any time. These calls may allocate and block. Those of `Accessor` may not
///   allocate.
/// - The description of an error, and every sentence that is handed out, is for a person and begins with `label`.
public protocol ImageSource: Accessor {
    /// What messages call it: the path of a file, as it was typed.
    var label: String { get }

    /// What makes two opens the same image.
    var identity: ImageIdentity { get }

    /// Why it cannot be written, in a sentence; nil if `isWritable`.
    var readOnlyReason: String? { get }

    /// Whether seeks are slow, as on a spinning disk. False if that is not known.
    var isRotational: Bool { get }

    /// The descriptors that it has. A process that forks, and lives on without serving, has to close its copies: a lock
    /// lasts as long as any copy is open.
    var descriptors: [Int32] { get }

    /// To be called once the process has the privileges that it keeps, and before the first client.
    func privilegesDropped()

    /// One client more may write. To be called before its first write, zero or trim. The first one keeps other writers
    /// out.
    /// - Parameter forget: Called where others may have changed the image while there was no writer here. It is to
    ///   forget all that was read of the image. It may wait for reads under way.
    /// - Throws: An error that says what is in the way. There is no writer more then.
    func beginWriting(ifChanged forget: () -> Void) throws

    /// One client less may write. To be called as often as `beginWriting` succeeded, after the last of the client's
    /// data has been written out and synced. The last one lets other writers in.
    func endWriting()

    /// One client more, that may only read.
    /// - Parameter forget: As of `beginWriting`; called where something that others had made durable may not be found.
    func beginReading(ifChanged forget: () -> Void)

    /// Looks whether the image's name still leads to it. Cheap enough for every flush.
    /// - Returns: A sentence where it does not, once until it has done so again.
    func newsOfName() -> String?
}
