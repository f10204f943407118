import TestSupport

/// A file in a folder of its own, gone when nobody holds this any more.
struct TemporaryFile {
    let path: String
    private let scratch = Scratch()

    /// - Parameter name: With its ending.
    init(_ name: String, _ contents: String = "") {
        path = scratch.path(name)
        do { try Files.write(Array(contents.utf8), to: path) } catch { fatalError("\(error)") }
    }

    /// All that is in it.
    var contents: String { (try? Files.text(path)) ?? "" }
}
