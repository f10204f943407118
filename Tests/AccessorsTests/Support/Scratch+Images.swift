import SystemPackage
import TestSupport

extension Scratch {
    /// A path in it.
    func callAsFunction(_ name: String) -> FilePath { FilePath("\(directory)/\(name)") }

    /// A file in it that holds `bytes`.
    func file(_ bytes: [UInt8], named name: String = "image") -> FilePath {
        write(bytes, to: self(name))
        return self(name)
    }

    /// A file in it that is one hole.
    func hole(_ size: Int64, named name: String = "image") -> FilePath {
        write([], to: self(name))
        truncate(self(name), to: size)
        return self(name)
    }
}
