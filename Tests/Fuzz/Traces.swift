// Trace files: any bytes are a trace, or an error that names the line; never a trap.
import Glibc

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let path = InputFile.put(data, count)
    guard let trace = try? Trace(path: path) else { return 0 }
    precondition(!trace.requests.isEmpty, "a trace has requests, or it is an error")
    for request in trace.requests {
        precondition(trace.imageSizes.indices.contains(request.image), "the image of a request has a size")
        precondition(request.length > 0, "requests of no bytes are left out")
        precondition(request.range.upperBound <= trace.imageSizes[request.image], "a request lies in its image")
    }
    return 0
}

/// The input as a file.
private enum InputFile {
    /// A file that has no name any more: it goes with the process.
    private static let descriptor: Int32 = {
        var template = Array("/tmp/flexpage-fuzz.XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        unlink(template)
        return descriptor
    }()

    static func put(_ data: UnsafePointer<UInt8>, _ count: Int) -> String {
        precondition(descriptor >= 0 && ftruncate(descriptor, 0) == 0, "there is room for the input")
        precondition(pwrite(descriptor, data, count, 0) == count, "the input is written")
        return "/proc/self/fd/\(descriptor)"
    }
}
