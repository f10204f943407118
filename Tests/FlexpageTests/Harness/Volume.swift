@testable import flexpage

/// What a disk allows, to estimate how long it takes for the reads of a simulation.
enum Volume: CaseIterable {
    /// 3,000 reads and 125 MiB a second, like a cloud volume.
    case throttled
    /// 80 µs a read that a client waits for, and 2 GiB a second.
    case fast

    func seconds(_ figures: Figures) -> Double {
        let mebibytes = Double(figures.traffic.bytesRead) / 1_048_576
        return switch self {
        case .throttled: max(Double(figures.traffic.reads) / 3000, mebibytes / 125)
        case .fast: Double(figures.readsAwaited) * 80e-6 + mebibytes / 2048
        }
    }
}
