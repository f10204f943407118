import Glibc

/// A directory of its own for a test, which goes with everything in it. Its path is short, because a socket's path must
/// be.
///
/// It is on the disk of /var/tmp rather than on a tmpfs, so that images in it are reached with O_DIRECT.
package final class Scratch: Sendable {
    package let directory: String

    /// In /var/tmp. Without that nothing can be tested.
    package convenience init() {
        do { try self.init(in: "/var/tmp") } catch { fatalError("\(error)") }
    }

    package init(in parent: String) throws {
        var template = Array("\(parent)/flexpage.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw Trouble("mkdtemp in \(parent): \(String(cString: strerror(errno)))")
        }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // Tests also serve as another user, and that user leaves files in it.
        chmod(directory, 0o777)
    }

    deinit { Files.remove(directory) }

    package func path(_ name: String) -> String { "\(directory)/\(name)" }
}
