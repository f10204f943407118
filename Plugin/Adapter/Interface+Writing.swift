// swift-format-ignore-file: AlwaysUseLowerCamelCase
// The names are those of Interface.h: an implementation is matched with its declaration by name.

import Interface
import Paging

// The writing calls of Interface.h on a connection. nbdkit makes none where `Client.canWrite` is false (`Stage`).

@c(flexpage_client_write) @implementation
public func flexpage_client_write(
    _ client: OpaquePointer, _ buffer: UnsafeRawPointer, _ count: UInt32, _ offset: UInt64, _ isForced: Bool
) -> Int32 {
    Client.with(client) { client throws(AccessError) in
        let range = try Client.range(offset, count)
        let buffer = UnsafeRawBufferPointer(start: buffer, count: Int(count))
        try client.pager.write(from: buffer, at: range.lowerBound, forced: isForced)
    }
}

@c(flexpage_client_flush) @implementation
public func flexpage_client_flush(_ client: OpaquePointer) -> Int32 {
    Client.with(client) { client throws(AccessError) in try client.pager.flush() }
}

@c(flexpage_client_zero) @implementation
public func flexpage_client_zero(
    _ client: OpaquePointer, _ count: UInt32, _ offset: UInt64, _ mayTrim: Bool, _ onlyIfFast: Bool,
    _ isForced: Bool
) -> Int32 {
    Client.with(client) { client throws(AccessError) in
        let range = try Client.range(offset, count)
        try client.pager.zero(range, mayTrim: mayTrim, onlyIfFast: onlyIfFast, forced: isForced)
    }
}

@c(flexpage_client_trim) @implementation
public func flexpage_client_trim(
    _ client: OpaquePointer, _ count: UInt32, _ offset: UInt64, _ isForced: Bool
) -> Int32 {
    Client.with(client) { client throws(AccessError) in
        try client.pager.trim(try Client.range(offset, count), forced: isForced)
    }
}
