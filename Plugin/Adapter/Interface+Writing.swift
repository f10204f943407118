// swift-format-ignore-file: AlwaysUseLowerCamelCase
// The names are those of Interface.h: an implementation is matched with its declaration by name.

import Glibc
import Interface
import Paging

// The calls of Interface.h on a connection that change the image. nbdkit makes none if `Client.canWrite` is false.

@c(flexpage_client_write) @implementation
public func flexpage_client_write(
    _ client: OpaquePointer, _ buffer: UnsafeRawPointer, _ count: UInt32, _ offset: UInt64, _ isForced: Bool
) -> Int32 {
    unsafe Client.with(client, offset, count) { client, range throws(AccessError) in
        let buffer = unsafe UnsafeRawBufferPointer(start: buffer, count: Int(count))
        try unsafe client.pager.write(from: buffer, at: range.lowerBound, forced: isForced)
    }
}

@c(flexpage_client_is_known_trouble) @implementation
public func flexpage_client_is_known_trouble(_ client: OpaquePointer, _ error: Int32) -> Bool {
    unsafe Unmanaged<Client>.fromOpaque(UnsafeRawPointer(client))._withUnsafeGuaranteedRef {
        $0.pager.provider.trouble?.code == error
    }
}

@c(flexpage_client_flush) @implementation
public func flexpage_client_flush(_ client: OpaquePointer) -> Int32 {
    unsafe Client.with(client) { client throws(AccessError) in try client.flush() }
}

@c(flexpage_client_zero) @implementation
public func flexpage_client_zero(
    _ client: OpaquePointer, _ count: UInt32, _ offset: UInt64, _ mayTrim: Bool, _ onlyIfFast: Bool,
    _ isForced: Bool
) -> Int32 {
    unsafe Client.with(client, offset, count) { client, range throws(AccessError) in
        try client.pager.zero(range, mayTrim: mayTrim, onlyIfFast: onlyIfFast, forced: isForced)
    }
}

@c(flexpage_client_trim) @implementation
public func flexpage_client_trim(
    _ client: OpaquePointer, _ count: UInt32, _ offset: UInt64, _ isForced: Bool
) -> Int32 {
    unsafe Client.with(client, offset, count) { client, range throws(AccessError) in
        do throws(AccessError) {
            try client.pager.trim(range, forced: isForced)
        } catch {
            // NBD's trim is advice. An image that cannot have holes ignores it, which is correct. A filesystem mounted
            // with discard must not take that for a failing disk.
            if error.code != EOPNOTSUPP { throw error }
        }
    }
}
