import ArgumentParser

/// By what `flexpage top` sorts exports, and the key that chooses it.
enum TopOrder: String, CaseIterable, ExpressibleByArgument {
    case name, hits, read, filled, written, memory, dirty

    /// The key: the first letter.
    init?(key: UInt8) {
        guard let order = TopOrder.allCases.first(where: { $0.key == key }) else { return nil }
        self = order
    }

    var key: UInt8 { rawValue.utf8.first! }

    /// Names are in ascending order. Of all else what is largest comes first, and names decide what is equal.
    func isBefore(_ one: TopReport.Image, _ other: TopReport.Image) -> Bool {
        let (value, otherValue) = (value(one), value(other))
        return value == otherValue ? one.name < other.name : value > otherValue
    }

    private func value(_ image: TopReport.Image) -> Double {
        switch self {
        case .name: 0
        case .hits: image.rates.hitRatio ?? -1
        case .read: image.rates.readBytes
        case .filled: image.rates.filledBytes
        case .written: image.rates.writtenBytes
        case .memory: Double(image.heldBytes)
        case .dirty: Double(image.dirtyBytes)
        }
    }
}
