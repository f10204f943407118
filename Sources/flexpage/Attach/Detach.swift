import ArgumentParser

/// `flexpage detach`: ends what `flexpage attach` or nbd-client has attached.
struct Detach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Detach a device from the kernel's NBD client.",
        discussion: """
            First writes out what the kernel has cached of the device. While the server is away, that waits for it. \
            A device that is mounted or otherwise in use is refused. A flexpage attach that looks after it ends.
            """)

    @Argument(help: "The device: /dev/nbdN.", transform: NBDDevice.init(parsing:))
    var device: NBDDevice

    func run() throws {
        do {
            try NetlinkKernel(device).detach(writingOut: true)
        } catch let inUse as DeviceInUse {
            throw AttachError("\(inUse); free it first")
        }
    }
}
