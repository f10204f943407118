/// How long what is done for one image takes, by kind.
///
/// Thread rules: any thread.
struct ImageLatencies: Sendable {
    /// Reads of the image.
    let fills = LatencyHistogram()
    /// Calls that write pages to the image, each of one or more runs of pages.
    let writeOuts = LatencyHistogram()
    /// Calls that make what was written durable.
    let syncs = LatencyHistogram()
    /// Flushes of clients, with their write-outs and syncs, and with waiting for others.
    let flushes = LatencyHistogram()

    func destroy() {
        fills.destroy()
        writeOuts.destroy()
        syncs.destroy()
        flushes.destroy()
    }
}
