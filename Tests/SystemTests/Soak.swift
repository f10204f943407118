import Glibc

/// Whether tests are to go on for long (FLEXPAGE_SOAK=1).
enum Soak {
    static var isOn: Bool { getenv("FLEXPAGE_SOAK").map { String(cString: $0) } == "1" }
}
