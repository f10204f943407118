import Glibc

/// Whether tests are to go on for long (FLEXPAGE_SOAK=1).
package enum Soak {
    package static var isOn: Bool { getenv("FLEXPAGE_SOAK").map { String(cString: $0) } == "1" }
}
