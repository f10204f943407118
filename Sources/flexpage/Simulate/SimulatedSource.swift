/// Where the images of a simulation lie, to estimate how long their accesses take.
enum SimulatedSource: String, CaseIterable {
    /// 80 µs for each read that a client waits for, and 2 GiB a second.
    case unthrottled
    /// 3,000 reads and writes and 125 MiB a second, whichever takes longer, like a cloud volume.
    case throttled
    /// 20 ms for each read that a client waits for, as much as it may be.
    case far

    /// What the model is, in words.
    var explanation: String {
        switch self {
        case .unthrottled: "80 µs for each read waited for, and 2 GiB/s"
        case .throttled: "3,000 reads and writes and 125 MiB a second, whichever takes longer"
        case .far: "20 ms for each read waited for"
        }
    }

    func seconds(_ figures: Figures) -> Double {
        let mebibytes = Double(figures.traffic.bytesRead + figures.traffic.bytesWritten) / 1_048_576
        return switch self {
        case .unthrottled: Double(figures.readsAwaited) * 80e-6 + mebibytes / 2048
        case .throttled: max(Double(figures.traffic.operations) / 3000, mebibytes / 125)
        case .far: Double(figures.readsAwaited) * 20e-3
        }
    }
}
