import ArgumentParser

/// Amounts of memory, separated by commas.
struct MemorySizes: ExpressibleByArgument {
    let sizes: [MemorySize]

    init?(argument: String) {
        var sizes: [MemorySize] = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            guard let size = MemorySize(part) else { return nil }
            sizes.append(size)
        }
        self.sizes = sizes
    }

    var defaultValueDescription: String { sizes.map(\.text).joined(separator: ",") }
}
