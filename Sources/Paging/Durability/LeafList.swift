/// A list of leaves, doubly linked through the leaves themselves, so that it takes no memory of its own. A leaf is on
/// one list at the most; which one, its status says. All of it is under the lock of the Ledger whose list it is.
struct LeafList {
    var head = LeafID.none
    var tail = LeafID.none
    var count = 0
}
