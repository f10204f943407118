import Paging

/// Writes for a simulation, and flushes at the share of dirty pages at which the plugin begins to write out. The
/// plugin's threads are not used, because they would make the results differ from run to run.
final class SimulatedWriter {
    private let pages: Pages
    private let pagers: [Pager]
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 17, alignment: BasePage.size)
    /// The number of dirty base pages at which they are written out: half of the limit at which writers would wait.
    private let target: UInt64

    init(pages: Pages, pagers: [Pager]) {
        self.pages = pages
        self.pagers = pagers
        target = UInt64(Double(pages.frames) * Pages.defaultDirtyShare / 2)
        buffer.initializeMemory(as: UInt8.self, repeating: 1)
    }

    deinit { buffer.deallocate() }

    /// Writes `range`, a part at a time, so that no part waits for pages to become clean.
    func write(_ range: Range<Int64>, to pager: Pager) throws {
        let maxCount = min(buffer.count, max(1, Int(target) / 2) * BasePage.size)
        var offset = range.lowerBound
        while offset < range.upperBound {
            if pages.counters.dirtyPages > target { try flush() }
            let count = min(maxCount, Int(range.upperBound - offset))
            try pager.write(from: UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset, forced: false)
            offset += Int64(count)
        }
    }

    /// Writes out all dirty pages.
    func flush() throws {
        for pager in pagers { try pager.flush() }
    }
}
