// swift-format-ignore-file: AlwaysUseLowerCamelCase
// The names are those of Interface.h: an implementation is matched with its declaration by name.

import Glibc
import Interface
import Paging

// The calls of Interface.h on a connection. nbdkit's connection threads make them.

@c(flexpage_client_open) @implementation
public func flexpage_client_open(
    _ server: OpaquePointer, _ exportName: UnsafePointer<CChar>, _ isReadOnly: Bool,
    _ message: UnsafeMutablePointer<flexpage_message>
) -> OpaquePointer? {
    do {
        let name = unsafe String(cString: exportName)
        let (client, note) = try unsafe Server.at(server).connect(to: name, isReadOnly: isReadOnly)
        unsafe message.pointee.note = note.flatMap { unsafe strdup($0) }
        return unsafe OpaquePointer(Unmanaged.passRetained(client).toOpaque())
    } catch {
        unsafe message.pointee.error = strdup(error.text)
        return nil
    }
}

@c(flexpage_client_close) @implementation
public func flexpage_client_close(_ client: OpaquePointer) {
    let client = unsafe Unmanaged<Client>.fromOpaque(UnsafeRawPointer(client)).takeRetainedValue()
    client.leave()
}

@c(flexpage_client_export_info) @implementation
public func flexpage_client_export_info(_ client: OpaquePointer, _ info: UnsafeMutablePointer<flexpage_export_info>) {
    let client = unsafe Unmanaged<Client>.fromOpaque(UnsafeRawPointer(client)).takeUnretainedValue()
    unsafe info.pointee.size = client.pager.provider.accessor.size
    unsafe info.pointee.can_write = client.canWrite
    unsafe info.pointee.is_rotational = client.isRotational
}

@c(flexpage_client_counters) @implementation
public func flexpage_client_counters(_ client: OpaquePointer) -> UnsafeMutablePointer<CChar>? {
    unsafe strdup(Unmanaged<Client>.fromOpaque(UnsafeRawPointer(client)).takeUnretainedValue().counters)
}

// MARK: Reading

@c(flexpage_client_read) @implementation
public func flexpage_client_read(
    _ client: OpaquePointer, _ buffer: UnsafeMutableRawPointer, _ count: UInt32, _ offset: UInt64
) -> Int32 {
    unsafe Client.with(client, offset, count) { client, range throws(AccessError) in
        let buffer = unsafe UnsafeMutableRawBufferPointer(start: buffer, count: Int(count))
        try unsafe client.pager.read(into: buffer, at: range.lowerBound)
    }
}

@c(flexpage_client_cache) @implementation
public func flexpage_client_cache(_ client: OpaquePointer, _ count: UInt32, _ offset: UInt64) -> Int32 {
    unsafe Client.with(client, offset, count) { client, range throws(AccessError) in
        try client.pager.populate(range)
    }
}

@c(flexpage_client_extents) @implementation
public func flexpage_client_extents(
    _ client: OpaquePointer, _ count: UInt32, _ offset: UInt64,
    _ take: flexpage_extent_taker, _ context: UnsafeMutableRawPointer
) -> Int32 {
    unsafe Client.with(client, offset, count) { client, range throws(AccessError) in
        try client.pager.extents(of: range) { extent in
            let length = UInt64(extent.range.upperBound - extent.range.lowerBound)
            return unsafe take(context, UInt64(extent.range.lowerBound), length, extent.kind.number)
        }
    }
}
