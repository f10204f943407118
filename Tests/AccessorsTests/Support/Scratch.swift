import Glibc
import SystemPackage

/// A directory of a test's own, gone with all that is in it when the test ends.
final class Scratch {
    let path: String

    /// - Parameter parent: In the directory for large temporary files, usually on a disk, if nil.
    init(in parent: String? = nil) {
        let parent = parent ?? getenv("TMPDIR").map { String(cString: $0) } ?? "/var/tmp"
        var template = Array("\(parent)/flexpage-test-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { fatalError("no temporary directory in \(parent): \(errno)") }
        path = String(cString: made)
    }

    deinit { _ = shell("rm -rf '\(path)'") }

    /// A path in it.
    func callAsFunction(_ name: String) -> FilePath { FilePath("\(path)/\(name)") }

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

/// Bytes that tell their place: those of one long random row, from `salt` on. 16 MiB at most.
func pattern(_ count: Int, salt: Int = 0) -> [UInt8] { Array(row[salt..<salt + count]) }

private let row: [UInt8] = {
    var random = SplitMix(seed: 0)
    let words = (0..<1 << 21).map { _ in random.next() }
    return words.withUnsafeBytes { Array($0) }
}()

func write(_ bytes: [UInt8], to path: FilePath) {
    let options: FileDescriptor.OpenOptions = [.create, .truncate]
    let file = try! FileDescriptor.open(path, .writeOnly, options: options, permissions: .ownerReadWrite)
    _ = try! file.closeAfter { try file.writeAll(bytes) }
}

/// What the file or device holds, through the page cache as any other program sees it.
func contents(of path: FilePath) -> [UInt8] {
    let file = try! FileDescriptor.open(path, .readOnly)
    defer { try! file.close() }
    let size = Int(try! file.seek(offset: 0, from: .end))
    return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
        while count < size {
            let rest = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[count...])
            let got = try! file.read(fromAbsoluteOffset: Int64(count), into: rest)
            precondition(got > 0, "the file has become shorter")
            count += got
        }
    }
}

func truncate(_ path: FilePath, to size: Int64) {
    let answer = path.withPlatformString { Glibc.truncate($0, Int(size)) }
    precondition(answer == 0, "truncate: \(errno)")
}

func status(of path: FilePath) -> stat {
    var found = stat()
    let answer = path.withPlatformString { stat($0, &found) }
    precondition(answer == 0, "stat: \(errno)")
    return found
}

/// Runs a command of the shell: its exit status and what it printed.
@discardableResult
func shell(_ command: String) -> (status: Int32, output: String) {
    guard let pipe = popen("{ \(command) ; } 2>&1", "r") else { return (-1, "popen: \(errno)") }
    var output: [UInt8] = []
    while true {
        let byte = getc(pipe)
        if byte == EOF { break }
        output.append(UInt8(byte))
    }
    while output.last == 0x0A { output.removeLast() }
    return (pclose(pipe), String(decoding: output, as: UTF8.self))
}
