import Glibc
import SystemPackage

func write(_ bytes: [UInt8], to path: FilePath) {
    let options: FileDescriptor.OpenOptions = [.create, .truncate]
    let file = try! FileDescriptor.open(path, .writeOnly, options: options, permissions: .ownerReadWrite)
    _ = try! file.closeAfter { try file.writeAll(bytes) }
}

/// The contents of the file or device, through the page cache, as any other program sees them.
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
