extension Slice<UnsafeMutableBufferPointer<UInt64>> {
    /// Sorts in place, and unlike the library's sort allocates nothing (heapsort: Williams, CACM 7(6), 1964).
    /// O(count log count).
    func sortInPlace() {
        let keys = UnsafeMutableBufferPointer(rebasing: self)
        for root in stride(from: keys.count / 2 - 1, through: 0, by: -1) { keys.siftDown(root, keys.count) }
        for end in stride(from: keys.count - 1, to: 0, by: -1) {
            keys.swapAt(0, end)
            keys.siftDown(0, end)
        }
    }
}

extension UnsafeMutableBufferPointer<UInt64> {
    fileprivate func siftDown(_ root: Int, _ end: Int) {
        var root = root
        while 2 * root + 1 < end {
            var child = 2 * root + 1
            if child + 1 < end, self[child] < self[child + 1] { child += 1 }
            if self[root] >= self[child] { return }
            swapAt(root, child)
            root = child
        }
    }
}
