import Glibc

/// A file in a folder of its own, removed when nobody holds this any more.
final class TemporaryFile {
    let path: String
    private let folder: String

    /// - Parameter name: With its extension.
    init(_ name: String, _ contents: String = "") {
        var template = Array("/tmp/flexpage-tests-XXXXXX".utf8CString)
        precondition(mkdtemp(&template) != nil, "a folder in /tmp")
        folder = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        path = "\(folder)/\(name)"
        let file = fopen(path, "w")!
        fputs(contents, file)
        fclose(file)
    }

    /// Everything in the file.
    var contents: String {
        let file = fopen(path, "r")!
        defer { fclose(file) }
        var bytes: [UInt8] = []
        while case let byte = fgetc(file), byte != EOF { bytes.append(UInt8(byte)) }
        return String(decoding: bytes, as: UTF8.self)
    }

    deinit {
        unlink(path)
        rmdir(folder)
    }
}
