import Accessors
import Glibc
import Interface
import Paging

/// The layer below a filter: `struct flexpage_layer`, which C implements.
@safe final class GlueLayer: Layer, @unchecked Sendable {
    private let calls: UnsafePointer<flexpage_layer>

    /// - Parameter calls: Valid as long as the process lives.
    init(_ calls: UnsafePointer<flexpage_layer>) { unsafe self.calls = unsafe calls }

    var label: String { unsafe String(cString: calls.pointee.name()) }

    var model: LayerModel { unsafe LayerModel(rawValue: calls.pointee.model()) ?? .oneConnection }

    func open(exportName: String, isReadOnly: Bool) -> (any LayerContext)? {
        var info = flexpage_layer_info()
        guard let handle = unsafe calls.pointee.open(exportName, isReadOnly, &info) else { return nil }
        return unsafe GlueContext(calls, handle, LayerProperties(info))
    }
}

extension LayerProperties {
    fileprivate init(_ info: flexpage_layer_info) {
        self.init(
            size: info.size, minBlock: Int(info.min_block), preferredBlock: Int(info.preferred_block),
            maxRequest: Int(info.max_request))
        canWrite = info.can_write
        canFlush = info.can_flush
        canZero = info.can_zero
        canZeroFast = info.can_fast_zero
        canTrim = info.can_trim
        knowsExtents = info.can_extents
        isMultiConn = info.can_multi_conn
        isRotational = info.is_rotational
    }
}
