import Accessors
import Glibc
import Paging

/// What is in memory after the requests of a trace, which run through the pager. The image's data is not read.
struct WarmTrace {
    let path: String
    /// Its size is the list's.
    let image: String
    /// Bytes of the pager's memory.
    let memory: Int

    /// - Throws: A sentence that names the trace or the image.
    func entry() throws -> WarmList.Entry {
        let trace = try Trace(path: path)
        guard trace.imageSizes.count == 1 else {
            throw TraceError(path, "it has requests to \(trace.imageSizes.count) images; expected one")
        }
        let size = try imageSize()
        let pages = try Pages(memory: memory, readahead: 0)
        let registry = ProviderRegistry(pages: pages)
        let provider = try registry.open(ImageIdentity(device: 0, inode: 0)) { SimulatedImage(size: size) }
        let pager = Pager(provider)
        for request in trace.requests {
            guard request.range.upperBound <= size else {
                throw TraceError(
                    path, "it has a request at \(request.offset), and \(image.withoutControls) has \(size) bytes")
            }
            // A write leaves its pages in memory too.
            try pager.populate(request.range)
        }
        guard let residents = registry.residents(of: provider) else { fatalError("the image is open") }
        return WarmList.Entry(name: "", size: size, runs: residents)
    }

    /// Of a file or a block device.
    private func imageSize() throws(ToolFailure) -> Int64 {
        let number = open(image, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        defer { if number >= 0 { close(number) } }
        let size = number < 0 ? -1 : lseek(number, 0, SEEK_END)
        guard size >= 0 else {
            let reason = String(cString: strerror(errno))
            throw ToolFailure("\(image.withoutControls): the size cannot be found out: \(reason)")
        }
        return Int64(size)
    }
}
