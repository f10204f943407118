import ArgumentParser
import CLinux
import Glibc

/// `flexpage attach`: an export as a block device of this machine, which waits while the server is away.
struct Attach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Attach an export to the kernel's NBD client, and again when the server is back after a restart.",
        discussion: """
            Stays in the foreground for as long as the device is attached. When the server goes away, the kernel holds \
            requests back for --wait seconds, and this hands it new connections as soon as the server is back. An \
            export of another size is refused. After that time, requests fail, and this ends with status 1.

            SIGTERM, SIGINT and SIGHUP detach the device, unless it is in use. If it is, or if this process is killed, \
            the device stays attached, but nobody reconnects it. Run the same command again to go on with it.

            Needs root, and the kernel's module nbd (modprobe nbd). As a systemd service, use Type=notify.
            """)

    @Argument(
        help: "The export: nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH.", transform: ExportURI.init)
    var uri: ExportURI

    @Argument(help: "The device: /dev/nbdN.", transform: NBDDevice.init(parsing:))
    var device: NBDDevice

    @Option(help: "Seconds that requests wait while the server is away; 0 to fail them at once.")
    var wait = 120

    @Option(help: "Connections, if the server allows several.")
    var connections = 1

    static let maxWait = 365 * 24 * 60 * 60
    static let maxConnections = 64

    func validate() throws {
        guard (0...Self.maxWait).contains(wait) else {
            throw ValidationError("--wait must be from 0 to \(Self.maxWait)")
        }
        guard (1...Self.maxConnections).contains(connections) else {
            throw ValidationError("--connections must be from 1 to \(Self.maxConnections)")
        }
    }

    func run() throws {
        let kernel = try NetlinkKernel(device, uri: uri.text, wait: wait, connections: connections)
        let lock = try AttachLock(device)
        let links = try kernel.reports()
        let signals = try EndSignals()
        stayOutOfTheWay()
        let manager = ServiceManager()
        let attachment = Attachment(
            name: device.description, wait: wait, connections: connections,
            server: LibNBDServer(uri: uri.text, stop: signals.descriptor), kernel: kernel,
            events: SystemEvents(links: links, signals: signals),
            report: { tell($0, manager) })
        try withExtendedLifetime(lock) {
            do { try attachment.run() } catch is Stopped { throw ExitCode(1) }
        }
    }

    /// The kernel may free memory by writing to the device, which may wait for this process to reconnect it. So this
    /// must not wait for memory. Both are best effort: they need root, and the second a limit that allows it.
    private func stayOutOfTheWay() {
        linux_become_io_flusher()
        linux_lock_memory()
    }

    private func tell(_ report: AttachReport, _ manager: ServiceManager?) {
        let line = report.line(device, uri: uri.text, wait: wait)
        print(line)
        fflush(nil)
        if case .attached = report { manager?.say("READY=1", "STATUS=\(line)") } else { manager?.say("STATUS=\(line)") }
    }
}
