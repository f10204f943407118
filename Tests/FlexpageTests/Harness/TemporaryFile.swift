import TestSupport

/// A file in a folder of its own, removed when nobody holds this any more.
struct TemporaryFile {
    let path: String
    private let scratch = Scratch()

    /// - Parameter name: With its extension.
    init(_ name: String, _ contents: String = "") {
        path = scratch.path(name)
        do { try Files.write(Array(contents.utf8), to: path) } catch { fatalError("\(error)") }
    }

    /// Everything in the file.
    var contents: String { (try? Files.text(path)) ?? "" }
}
