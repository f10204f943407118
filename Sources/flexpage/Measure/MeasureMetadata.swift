import ArgumentParser
import Paging

/// `flexpage measure metadata`: the share of `memory=` that holds no data once it is full of flexpages of 4 KiB.
///
/// This is measured, not computed: pages are populated until the pager has recycled as many as it has room for, and the
/// resident ones are counted.
struct MeasureMetadata: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metadata",
        abstract: "Measure the share of memory for tables: with dense 4 KiB pages, and with one page per MiB.")

    @Option(help: "MiB of memory.")
    var memory = 256

    func validate() throws {
        guard memory >= 1 else { throw ValidationError("--memory must be at least 1") }
    }

    func run() throws {
        print("dense 4 KiB pages  \(percent(try share(stride: 4 << 10)))")
        print("one page a chunk   \(percent(try share(stride: 1 << 20)))")
    }

    /// The share of the memory without resident pages, once the page at every multiple of `stride` has been read.
    private func share(stride: Int64) throws -> Double {
        let bytes = memory << 20
        let pages = try Pages(memory: bytes, readahead: 0, maxPagesOfFill: 1)
        let count = Int64(2 * pages.frames)
        let provider = try ProviderRegistry(pages: pages).open(ImageIdentity(device: 0, inode: 0)) {
            PatternImage(size: count * stride)
        }
        let pager = Pager(provider)
        for place in 0..<count { try pager.populate(place * stride..<place * stride + 4096) }
        // Each flexpage is one base page, so each recycled one is one base page less.
        let resident = pages.counters.misses - pages.counters.recycles
        return 1 - Double(resident << 12) / Double(bytes)
    }

    private func percent(_ share: Double) -> String { "\((share * 100).text(digits: 2)) % of \(memory) MiB" }
}
