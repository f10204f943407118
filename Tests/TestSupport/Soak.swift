import Glibc

/// Whether the tests run their long versions (FLEXPAGE_SOAK=1).
package enum Soak {
    package static var isOn: Bool { getenv("FLEXPAGE_SOAK").map { String(cString: $0) } == "1" }
}
