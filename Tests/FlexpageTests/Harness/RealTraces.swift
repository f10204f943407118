import Glibc
import TestSupport

/// The folder with traces of real machines: FLEXPAGE_TRACES, or `shared/traces` beside the package.
enum RealTraces {
    static let folder: String = {
        if let named = getenv("FLEXPAGE_TRACES") { return String(cString: named) }
        return "\(Repository.path)/../shared/traces"
    }()

    static func path(_ name: String) -> String { "\(folder)/\(name).csv.zst" }

    static var areThere: Bool { access(path("P3"), R_OK) == 0 }
}
