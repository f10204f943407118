/// The kernel's timer for requests of a device (queue/io_timeout).
///
/// What was under way when a connection died is sent again on a new one only when this timer expires: 30 s after it was
/// sent. With one connection, and NBD_ATTR_TIMEOUT 0, the timer does nothing else than a line in the kernel's log for a
/// request that is still without an answer. So 5 s do no harm, and a restart of the server stalls nobody for longer.
/// With several connections the timer ends the connection of a request that takes longer. So it stays as it is.
enum RequestTimer {
    static let milliseconds = 5_000
    /// The kernel's default. The next client of the device expects it.
    static let defaultMilliseconds = 30_000

    static func shorten(_ device: NBDDevice) { set(milliseconds, device) }

    static func restore(_ device: NBDDevice) { set(defaultMilliseconds, device) }

    private static func set(_ value: Int, _ device: NBDDevice) {
        Sysfs.write("\(value)", to: "\(device.directory)/queue/io_timeout")
    }
}
