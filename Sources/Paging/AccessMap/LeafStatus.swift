/// What a Ledger notes of a leaf: the list that it is on, and two bits about failed write-outs. One byte.
///
/// Changed with the locks of the leaf's shard and of the Ledger held, read with either. It is a type of its own so that
/// reading it reads this byte alone: the rest of a leaf is under other locks.
struct LeafStatus {
    private var raw: UInt8 = 0

    /// The lists of a Ledger.
    enum List: UInt8 {
        case none = 0
        case dirty
        case unsynced
    }

    /// The list of its image's Ledger that the leaf is on.
    var list: List {
        get { List(rawValue: raw & 0x3F)! }
        set { raw = raw & 0xC0 | newValue.rawValue }
    }

    /// Whether pages whose write-out failed may be among the dirty ones, not being tried again.
    var keepsFailed: Bool {
        get { raw & 0x40 != 0 }
        set { raw = newValue ? raw | 0x40 : raw & ~0x40 }
    }

    /// Whether a write-out of the leaf failed, and what failed is not out yet.
    var hasFailed: Bool {
        get { raw & 0x80 != 0 }
        set { raw = newValue ? raw | 0x80 : raw & 0x7F }
    }
}
