@testable import flexpage

extension Trace {
    /// A trace of `lines`, in whichever format they are.
    init(named name: String = "trace.csv", lines: [String]) throws {
        let file = TemporaryFile(name, lines.map { "\($0)\n" }.joined())
        try self.init(path: file.path)
    }

    /// Reads of single base pages.
    init(reading pages: [Int]) throws {
        try self.init(lines: pages.map { "R,\($0 * 4096),4096" })
    }
}

/// The error of a trace of these lines, or nil; without the file's path.
func complaint(_ lines: String..., name: String = "trace.csv") -> String? {
    let file = TemporaryFile(name, lines.map { "\($0)\n" }.joined())
    do {
        _ = try Trace(path: file.path)
        return nil
    } catch {
        let text = "\(error)"
        return text.hasPrefix(file.path) ? String(text.dropFirst(file.path.count)) : text
    }
}
