import Paging

/// What a server serves: an `Accessor`, and all that the server has to know of an image beside its bytes.
///
/// The pager needs no more than an Accessor. A server also lets clients in and out, says why it refuses one, and takes
/// care of what a fork copies. A new kind of image implements this protocol, and whatever opens images makes one.
/// Nothing else in the server knows which kinds exist.
///
///     opened ── privilegesDropped ──▶ serving ── first beginWriting ──▶ others are kept out
///                                      │   ▲                                    │
///                        beginReading  └───┴────────── last endWriting ─────────┘
///
/// Rules for the implementer, beside those of `Accessor`:
/// - Opening does everything that needs privileges: a server gives them up before it serves.
/// - Being open for writing keeps nobody out. That begins with the first `beginWriting` and ends with the last
///   `endWriting`.
/// - Any thread may call anything at any time. These calls may allocate and block. Those of `Accessor` may not
///   allocate.
/// - The description of an error, and every sentence handed out, is for a person and begins with `label`.
public protocol ImageSource: Accessor {
    /// Its name in messages: the path of a file, as it was typed.
    var label: String { get }

    /// Two opens with the same identity have opened the same image.
    var identity: ImageIdentity { get }

    /// Why it cannot be written, in a sentence; nil if `isWritable`.
    var readOnlyReason: String? { get }

    /// True if seeks are slow, as on a spinning disk. False if that is not known.
    var isRotational: Bool { get }

    /// The descriptors that it has. A process that forks, and lives on without serving, must close its copies: a lock
    /// lasts as long as any copy is open.
    var descriptors: [Int32] { get }

    /// Call it once the process has the privileges that it keeps, and before the first client.
    func privilegesDropped()

    /// One more client may write. Call it before the client's first write, zero or trim. The first one keeps other
    /// writers out.
    /// - Parameter forget: Called if others may have changed the image while there was no writer here. It must forget
    ///   everything that was read of the image. It may wait for reads under way.
    /// - Throws: An error that says what is in the way. The number of writers is unchanged then.
    func beginWriting(ifChanged forget: () -> Void) throws

    /// One client fewer may write. Call it as often as `beginWriting` succeeded, after the last of the client's data
    /// has been written out and synced. The last one lets other writers in.
    func endWriting()

    /// One more client, which may only read.
    /// - Parameter forget: See `beginWriting`; called if a read may miss what others had made durable.
    func beginReading(ifChanged forget: () -> Void)

    /// Before any client has come: notes what the image looks like now. If nothing changes it until the first client
    /// comes, what is read from now on is good then, and need not be forgotten. May wait 20 ms, and for the disk. If
    /// it cannot prove that later, it does nothing.
    /// - Parameter forget: See `beginWriting`.
    func settle(ifChanged forget: () -> Void)

    /// The server is about to end: notes for the next one what the image looks like now, after its last sync, unless a
    /// call that changes it is under way. May wait 20 ms. Does nothing if nothing is kept.
    func noteLastStamp()

    /// Checks that the image's name still leads to it. Cheap enough for every flush.
    /// - Returns: A sentence if it does not; once only, until it has done so again.
    func newsOfName() -> String?
}

extension ImageSource {
    public func settle(ifChanged forget: () -> Void) {}
}
