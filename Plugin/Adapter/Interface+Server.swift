// swift-format-ignore-file: AlwaysUseLowerCamelCase
// The names are those of Interface.h: an implementation is matched with its declaration by name.

import Glibc
import Interface
import Paging

// The calls of Interface.h on a server. None comes from nbdkit's main thread.

@c(flexpage_server_create) @implementation
public func flexpage_server_create(_ log: flexpage_logger) -> OpaquePointer {
    unsafe OpaquePointer(Unmanaged.passRetained(Server { unsafe log($0) }).toOpaque())
}

@c(flexpage_server_configure) @implementation
public func flexpage_server_configure(
    _ server: OpaquePointer, _ key: UnsafePointer<CChar>, _ value: UnsafePointer<CChar>,
    _ answer: UnsafeMutablePointer<flexpage_answer>
) -> Bool {
    unsafe answered(answer) { () throws(Complaint) in
        try unsafe Server.at(server).configure(String(cString: key), String(cString: value))
        return nil
    }
}

@c(flexpage_server_check) @implementation
public func flexpage_server_check(_ server: OpaquePointer, _ answer: UnsafeMutablePointer<flexpage_answer>) -> Bool {
    unsafe answered(answer) { () throws(Complaint) in
        try unsafe Server.at(server).check()
        return nil
    }
}

@c(flexpage_server_open_image) @implementation
public func flexpage_server_open_image(
    _ server: OpaquePointer, _ answer: UnsafeMutablePointer<flexpage_answer>
) -> Bool {
    unsafe answered(answer) { () throws(Complaint) in
        let (note, warning) = try unsafe Server.at(server).openImage()
        unsafe answer.pointee.warning = warning.flatMap { unsafe strdup($0) }
        return note
    }
}

@c(flexpage_server_claim) @implementation
public func flexpage_server_claim(_ server: OpaquePointer) -> Int32 {
    unsafe Server.at(server).claim ?? -1
}

@c(flexpage_server_is_batch) @implementation
public func flexpage_server_is_batch(_ server: OpaquePointer) -> Bool {
    unsafe Server.at(server).isBatch
}

@c(flexpage_server_begin) @implementation
public func flexpage_server_begin(_ server: OpaquePointer, _ answer: UnsafeMutablePointer<flexpage_answer>) -> Bool {
    unsafe answered(answer) { () throws(Complaint) in try unsafe Server.at(server).begin() }
}

@c(flexpage_server_settle) @implementation
public func flexpage_server_settle(_ server: OpaquePointer) -> Bool {
    unsafe Server.at(server).settle()
}

@c(flexpage_server_end) @implementation
public func flexpage_server_end(_ server: OpaquePointer, _ answer: UnsafeMutablePointer<flexpage_answer>) -> Bool {
    let (counters, error) = unsafe Server.at(server).end()
    unsafe answer.pointee.note = counters.flatMap { unsafe strdup("counters: \($0)") }
    unsafe answer.pointee.error = error.flatMap { unsafe strdup($0.text) }
    return error == nil
}

@c(flexpage_server_destroy) @implementation
public func flexpage_server_destroy(_ server: OpaquePointer) {
    unsafe Unmanaged<Server>.fromOpaque(UnsafeRawPointer(server)).release()
}

@c(flexpage_least_memory) @implementation
public func flexpage_least_memory() -> UInt64 {
    UInt64(Pages.leastMemory)
}

extension Server {
    /// The server that Glue's pointer stands for.
    static func at(_ pointer: OpaquePointer) -> Server {
        unsafe Unmanaged<Server>.fromOpaque(UnsafeRawPointer(pointer)).takeUnretainedValue()
    }
}

/// Does `call`, and puts what it has to say into `answer`: the note it returns, or why it failed.
func answered(
    _ answer: UnsafeMutablePointer<flexpage_answer>, _ call: () throws(Complaint) -> String?
) -> Bool {
    do {
        unsafe answer.pointee.note = try call().flatMap { unsafe strdup($0) }
        return true
    } catch {
        unsafe answer.pointee.error = strdup(error.text)
        return false
    }
}
