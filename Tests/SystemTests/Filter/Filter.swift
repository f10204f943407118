import Glibc
import TestSupport

/// The filter that was built: .build/release/libnbdkit-flexpage-filter.so of this package, or $FLEXPAGE_FILTER.
enum Filter {
    static var path: String {
        if let path = getenv("FLEXPAGE_FILTER") { return String(cString: path) }
        return "\(Repository.path)/.build/release/libnbdkit-flexpage-filter.so"
    }

    /// The path of a filter that exists.
    static func built() throws -> String {
        guard access(path, R_OK) == 0 else {
            throw Trouble(
                "\(path) is not there. These tests are about the built filter: build it first with "
                    + "`swift build -c release --product nbdkit-flexpage-filter`, or name one in FLEXPAGE_FILTER")
        }
        return path
    }

    /// nbdkit's arguments for the filter.
    static func argument() throws -> String { "--filter=\(try built())" }
}
