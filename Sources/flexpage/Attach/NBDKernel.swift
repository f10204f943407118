/// What the kernel does with one device: NetlinkKernel, or a script in tests.
protocol NBDKernel {
    /// Attaches the device. If it is attached already, by an earlier run with the same URI that is no longer there, it
    /// goes on with that: then the connections replace those that are dead. Throws AttachError.
    func attach(_ export: Export, _ connections: [Connection]) throws -> AttachedAs

    /// Puts connections into the places of those that are dead. Those left over are closed. Throws AttachError.
    func attachAgain(_ connections: [Connection]) throws

    /// Whether the device is attached to anything. It is also while its connections are dead.
    var isAttached: Bool { get }

    /// Detaches the device if nobody uses it: throws DeviceInUse otherwise, and AttachError. Writes out first what the
    /// kernel has cached of the device, which would wait for a server that is away.
    func detach(writingOut: Bool) throws
}

enum AttachedAs {
    case new
    case continued
}

/// The device is mounted, swapped to, or part of another device.
struct DeviceInUse: Error, Equatable {
    let device: NBDDevice
    /// Where it is mounted, as far as this process can see.
    let mountPoints: [String]
}

extension DeviceInUse: CustomStringConvertible {
    var description: String {
        guard let first = mountPoints.first else {
            return "\(device) is in use: mounted elsewhere, as swap, or by another device"
        }
        return "\(device) is mounted on \(first)"
    }
}
