import Glibc
import TestSupport

/// The plugin that was built: .build/release/libnbdkit-flexpage-plugin.so of this package, or $FLEXPAGE_PLUGIN.
enum Plugin {
    static var path: String {
        if let path = getenv("FLEXPAGE_PLUGIN") { return String(cString: path) }
        return "\(Repository.path)/.build/release/libnbdkit-flexpage-plugin.so"
    }

    /// Its man page.
    static var manual: String { "\(Repository.path)/Plugin/nbdkit-flexpage-plugin.pod" }

    /// The path of a plugin that exists.
    static func built() throws -> String {
        guard access(path, R_OK) == 0 else {
            throw Trouble(
                "\(path) is not there. These tests are about the built plugin: build it first with "
                    + "`swift build -c release --product nbdkit-flexpage-plugin`, or name one in FLEXPAGE_PLUGIN")
        }
        return path
    }
}
