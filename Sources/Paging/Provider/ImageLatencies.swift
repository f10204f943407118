/// How long what is done for one image takes, by kind, or for all images.
///
/// Thread rules: any thread.
struct ImageLatencies: Sendable {
    /// Reads of the image.
    let fills: LatencyHistogram
    /// Calls that write pages to the image, each of one or more runs of pages.
    let writeOuts: LatencyHistogram
    /// Calls that make what was written durable.
    let syncs: LatencyHistogram
    /// Flushes of clients, with their write-outs and syncs, and with waiting for others.
    let flushes: LatencyHistogram

    /// - Parameter all: Those of all images; nil for these themselves.
    init(partOf all: ImageLatencies? = nil) {
        fills = LatencyHistogram(partOf: all?.fills)
        writeOuts = LatencyHistogram(partOf: all?.writeOuts)
        syncs = LatencyHistogram(partOf: all?.syncs)
        flushes = LatencyHistogram(partOf: all?.flushes)
    }

    func destroy() {
        fills.destroy()
        writeOuts.destroy()
        syncs.destroy()
        flushes.destroy()
    }
}
