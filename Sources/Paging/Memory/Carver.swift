/// Cuts a stretch of memory into tables, each beginning on a cache line.
struct Carver {
    private let base: UnsafeMutableRawPointer
    private var used = 0
    private static let alignment = 64

    init(at base: UnsafeMutableRawPointer) { self.base = base }

    /// Bytes cut so far, rounded up to the base page.
    var bytes: Int { (used + BasePage.size - 1) / BasePage.size * BasePage.size }

    mutating func carve<T: ~Copyable>(_: T.Type, _ count: Int) -> UnsafeMutablePointer<T> {
        let table = (base + used).bindMemory(to: T.self, capacity: count)
        used += (MemoryLayout<T>.stride * count + Carver.alignment - 1) / Carver.alignment * Carver.alignment
        return table
    }
}
