// swift-format-ignore-file: AlwaysUseLowerCamelCase
// The names are those of Interface.h: an implementation is matched with its declaration by name.

import Glibc
import Interface
import Paging

// The calls of Interface.h on a server. nbdkit's main thread makes none of them.

@c(flexpage_server_create) @implementation
public func flexpage_server_create(
    _ layer: UnsafePointer<flexpage_layer>?, _ log: flexpage_logger, _ gate: flexpage_gate?
) -> OpaquePointer {
    let server = Server(
        over: unsafe layer.map { unsafe GlueLayer($0) }, log: { unsafe log($0) }, gate: { gate?() })
    return unsafe OpaquePointer(Unmanaged.passRetained(server).toOpaque())
}

@c(flexpage_server_configure) @implementation
public func flexpage_server_configure(
    _ server: OpaquePointer, _ key: UnsafePointer<CChar>, _ value: UnsafePointer<CChar>,
    _ message: UnsafeMutablePointer<flexpage_message>
) -> Bool {
    unsafe filling(message) { () throws(ConfigurationError) in
        try unsafe Server.at(server).configure(String(cString: key), String(cString: value))
        return nil
    }
}

@c(flexpage_server_has_option) @implementation
public func flexpage_server_has_option(_ server: OpaquePointer, _ key: UnsafePointer<CChar>) -> Bool {
    unsafe Option.named(String(cString: key), of: Server.at(server).settings.role) != nil
}

@c(flexpage_server_check) @implementation
public func flexpage_server_check(_ server: OpaquePointer, _ message: UnsafeMutablePointer<flexpage_message>) -> Bool {
    unsafe filling(message) { () throws(ConfigurationError) in
        try unsafe Server.at(server).check()
        return nil
    }
}

@c(flexpage_server_open_image) @implementation
public func flexpage_server_open_image(
    _ server: OpaquePointer, _ message: UnsafeMutablePointer<flexpage_message>
) -> Bool {
    unsafe filling(message) { () throws(ConfigurationError) in
        let (note, warning) = try unsafe Server.at(server).openImage()
        unsafe message.pointee.warning = warning.flatMap { unsafe strdup($0) }
        return note
    }
}

@c(flexpage_server_descriptors) @implementation
public func flexpage_server_descriptors(_ server: OpaquePointer, _ descriptors: UnsafeMutablePointer<Int32>) -> Int32 {
    let own = unsafe Server.at(server).descriptors
    precondition(own.count <= Int(flexpage_max_descriptors), "there are more descriptors than Interface.h allows")
    for (index, number) in own.enumerated() { unsafe descriptors[index] = number }
    return Int32(own.count)
}

@c(flexpage_server_is_batch) @implementation
public func flexpage_server_is_batch(_ server: OpaquePointer) -> Bool {
    unsafe Server.at(server).isBatch
}

@c(flexpage_server_is_auto) @implementation
public func flexpage_server_is_auto(_ server: OpaquePointer) -> Bool {
    unsafe Server.at(server).isAuto
}

@c(flexpage_server_prefers_batch) @implementation
public func flexpage_server_prefers_batch(_ server: OpaquePointer, _ turns: flexpage_turns) -> Bool {
    let server = unsafe Server.at(server)
    server.schedulingJudge.take(
        SchedulingSample(
            voluntary: turns.voluntary, involuntary: turns.involuntary, ran: turns.ran, waited: turns.waited))
    return server.schedulingJudge.isBatch
}

@c(flexpage_server_last_will) @implementation
public func flexpage_server_last_will(_ server: OpaquePointer) -> UInt32 {
    unsafe UInt32(Server.at(server).secondsOfLastWill)
}

@c(flexpage_server_bring_out) @implementation
public func flexpage_server_bring_out(
    _ server: OpaquePointer, _ outcome: UnsafeMutablePointer<flexpage_will>,
    _ keepAlive: @convention(c) (UnsafeMutablePointer<UInt64>?) -> Void
) {
    guard let will = unsafe Server.at(server).will else { return }
    let result = unsafe will.bringOut { unsafe keepAlive($0) }
    unsafe outcome.pointee = flexpage_will(
        brought_out: UInt64(result.broughtOut), failed: UInt64(result.failed),
        passed_over: UInt64(result.passedOver), broken: UInt64(result.broken),
        error: result.error?.code ?? 0, sync_error: result.syncError?.code ?? 0)
}

@c(flexpage_server_begin) @implementation
public func flexpage_server_begin(_ server: OpaquePointer, _ message: UnsafeMutablePointer<flexpage_message>) -> Bool {
    unsafe filling(message) { () throws(ConfigurationError) in try unsafe Server.at(server).begin() }
}

@c(flexpage_server_flush_if_changed) @implementation
public func flexpage_server_flush_if_changed(_ server: OpaquePointer) -> Bool {
    unsafe Server.at(server).flushIfChanged()
}

@c(flexpage_server_gives_up) @implementation
public func flexpage_server_gives_up(
    _ server: OpaquePointer, _ now: Int64, _ message: UnsafeMutablePointer<flexpage_message>
) -> Bool {
    guard let errors = unsafe Server.at(server).giveUp(at: Int(now)) else { return false }
    unsafe message.pointee.error = errors.lines()
    return true
}

@c(flexpage_server_end) @implementation
public func flexpage_server_end(_ server: OpaquePointer, _ message: UnsafeMutablePointer<flexpage_message>) -> Bool {
    let (counters, errors) = unsafe Server.at(server).end()
    unsafe message.pointee.note = counters.flatMap { unsafe strdup("counters: \($0)") }
    if !errors.isEmpty { unsafe message.pointee.error = errors.lines() }
    return errors.isEmpty
}

@c(flexpage_server_has_given_up) @implementation
public func flexpage_server_has_given_up(_ server: OpaquePointer) -> Bool { unsafe Server.at(server).hasGivenUp }

@c(flexpage_server_list_exports) @implementation
public func flexpage_server_list_exports(
    _ server: OpaquePointer, _ take: flexpage_name_taker, _ context: UnsafeMutableRawPointer,
    _ message: UnsafeMutablePointer<flexpage_message>
) -> Int32 {
    do {
        guard let names = try unsafe Server.at(server).exportNames() else { return 0 }
        for name in names { unsafe take(context, name) }
        return 1
    } catch {
        unsafe message.pointee.error = strdup(error.text)
        return -1
    }
}

@c(flexpage_server_default_export) @implementation
public func flexpage_server_default_export(_ server: OpaquePointer) -> UnsafeMutablePointer<CChar>? {
    unsafe strdup(Server.at(server).defaultExport)
}

@c(flexpage_server_destroy) @implementation
public func flexpage_server_destroy(_ server: OpaquePointer) {
    unsafe Unmanaged<Server>.fromOpaque(UnsafeRawPointer(server)).release()
}

@c(flexpage_config_help) @implementation
public func flexpage_config_help(_ isFilter: Bool) -> UnsafeMutablePointer<CChar>? {
    unsafe strdup(Option.helpText(of: isFilter ? .filter : .plugin))
}

@c(flexpage_plugin_dump) @implementation
public func flexpage_plugin_dump() -> UnsafeMutablePointer<CChar>? {
    unsafe strdup(PluginDump.text)
}

extension Server {
    /// The server behind Glue's pointer.
    static func at(_ pointer: OpaquePointer) -> Server {
        unsafe Unmanaged<Server>.fromOpaque(UnsafeRawPointer(pointer)).takeUnretainedValue()
    }
}

/// Performs `call`, and puts the note that it returns, or the error that it throws, into `message`.
/// - Returns: Whether it succeeded.
func filling(
    _ message: UnsafeMutablePointer<flexpage_message>, _ call: () throws(ConfigurationError) -> String?
) -> Bool {
    do {
        unsafe message.pointee.note = try call().flatMap { unsafe strdup($0) }
        return true
    } catch {
        unsafe message.pointee.error = strdup(error.text)
        return false
    }
}

extension [ConfigurationError] {
    /// Their texts, a line each, for a caller that frees them.
    fileprivate func lines() -> UnsafeMutablePointer<CChar>? { unsafe strdup(map(\.text).joined(separator: "\n")) }
}
