import Accessors
import Glibc
import Interface
import Paging

/// A context of the layer below a filter.
@safe final class GlueContext: LayerContext, @unchecked Sendable {
    private let calls: UnsafePointer<flexpage_layer>
    private let handle: UnsafeMutableRawPointer
    let properties: LayerProperties

    init(_ calls: UnsafePointer<flexpage_layer>, _ handle: UnsafeMutableRawPointer, _ properties: LayerProperties) {
        unsafe self.calls = unsafe calls
        unsafe self.handle = unsafe handle
        self.properties = properties
    }

    func close() { unsafe calls.pointee.close(handle) }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(AccessError) {
        guard let base = buffer.baseAddress else { return }
        try check(unsafe calls.pointee.read(handle, base, UInt32(buffer.count), UInt64(offset)))
    }

    func write(from buffer: UnsafeRawBufferPointer, at offset: Int64) throws(AccessError) {
        guard let base = buffer.baseAddress else { return }
        try check(unsafe calls.pointee.write(handle, base, UInt32(buffer.count), UInt64(offset)))
    }

    func flush() throws(AccessError) { try check(unsafe calls.pointee.flush(handle)) }

    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {
        try check(
            unsafe calls.pointee.zero(handle, UInt32(range.count), UInt64(range.lowerBound), mayTrim, onlyIfFast))
    }

    func trim(_ range: Range<Int64>) throws(AccessError) {
        try check(unsafe calls.pointee.trim(handle, UInt32(range.count), UInt64(range.lowerBound)))
    }

    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        try withoutActuallyEscaping(report) { (report) throws(AccessError) in
            var taker = Taker(report: report)
            let result = unsafe withUnsafeMutablePointer(to: &taker) { taker in
                unsafe calls.pointee.extents(
                    handle, UInt32(range.count), UInt64(range.lowerBound),
                    { context, offset, length, kind in unsafe Taker.at(context).take(offset, length, kind) }, taker)
            }
            try check(result)
        }
    }

    private func check(_ result: Int32) throws(AccessError) {
        if result != 0 { throw AccessError((1...255).contains(result) ? result : EIO) }
    }

    /// Where a C function finds what takes extents.
    private struct Taker {
        let report: (Extent) -> Bool

        static func at(_ context: UnsafeMutableRawPointer) -> Taker {
            unsafe context.assumingMemoryBound(to: Taker.self).pointee
        }

        func take(_ offset: UInt64, _ length: UInt64, _ kind: Int32) -> Bool {
            report(Extent(Int64(offset)..<Int64(offset + length), Extent.Kind(number: kind)))
        }
    }
}
