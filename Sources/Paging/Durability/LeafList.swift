/// A list of leaves, doubly linked through the leaves themselves, so that it takes no memory of its own. A leaf is on
/// at most one list, and its status says which. The lock of the list's Ledger guards all of it.
struct LeafList {
    var head = LeafID.none
    var tail = LeafID.none
    var count = 0
}
