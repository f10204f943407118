@testable import flexpage

/// A server, a kernel and a clock that follow a script, and write down what was asked of them. One thread.
final class ScriptedWorld {
    /// What the server answers, one each connect; the last one stays.
    enum Answer {
        case export(Export)
        case refused(String)
        case stopped
    }

    var answers: [Answer]
    /// What happens, and after how many milliseconds. An attachment that waits for less gets the time instead.
    var happenings: [(after: Int, AttachEvent)]
    var isAttached = false
    /// The device is in use when it is to be detached.
    var isInUse = false
    /// What the kernel answers to an attachment.
    var way = AttachedAs.new
    /// Another program detaches the device at that time.
    var detachedAt: Int?
    /// How long an attempt to connect takes.
    var connectTime = 0

    private(set) var clock = 0
    private(set) var log: [String] = []

    init(_ answers: Answer..., happenings: [(after: Int, AttachEvent)] = []) {
        self.answers = answers
        self.happenings = happenings
    }

    func note(_ text: String) { log.append(text) }

    /// Runs an attachment to its end. Returns its error, if it ends with one.
    func run(wait: Int = 60, connections: Int = 1) -> String? {
        let attachment = Attachment(
            name: "/dev/nbd0", wait: wait, connections: connections, server: Server(world: self),
            kernel: Kernel(world: self), events: Events(world: self),
            report: { self.note($0.line(device, uri: "URI", wait: wait)) })
        do { try attachment.run() } catch { return "\(error)" }
        return nil
    }

    private struct Server: ExportServer {
        let world: ScriptedWorld

        func connect(count: Int, milliseconds: Int) throws -> (export: Export, connections: [Connection]) {
            let answer = world.answers.count > 1 ? world.answers.removeFirst() : world.answers[0]
            world.clock += min(world.connectTime, milliseconds)
            switch answer {
            case .export(let export):
                return (export, (0..<count).map { _ in Connection(descriptor: -1) })
            case .refused(let reason): throw AttachError(reason)
            case .stopped: throw Stopped()
            }
        }
    }

    private struct Kernel: NBDKernel {
        let world: ScriptedWorld

        func attach(_ export: Export, _ connections: [Connection]) throws -> AttachedAs {
            world.note("kernel attaches \(export.size) bytes, connections: \(connections.count)")
            world.isAttached = true
            return world.way
        }

        func attachAgain(_ connections: [Connection]) throws {
            world.note("kernel replaces connections: \(connections.count), at \(world.clock) ms")
        }

        var isAttached: Bool {
            if let time = world.detachedAt, world.clock >= time { return false }
            return world.isAttached
        }

        func detach(writingOut: Bool) throws {
            guard !world.isInUse else { throw DeviceInUse(device: device, mountPoints: ["/mnt"]) }
            world.note("kernel detaches\(writingOut ? ", after a write-out" : "")")
            world.isAttached = false
        }
    }

    private struct Events: AttachEvents {
        let world: ScriptedWorld

        var now: Int { world.clock }

        func next(milliseconds: Int) -> AttachEvent {
            guard let first = world.happenings.first, first.after <= milliseconds else {
                if !world.happenings.isEmpty { world.happenings[0].after -= milliseconds }
                world.clock += milliseconds
                // A script that has run out must not leave an attachment waiting for ever.
                return world.clock < 1_000_000 ? .time : .stop
            }
            world.happenings.removeFirst()
            world.clock += first.after
            return first.1
        }
    }
}

let device = try! NBDDevice(parsing: "/dev/nbd0")

extension Export {
    /// As nbdkit with this plugin serves it.
    static func usual(
        size: UInt64 = 1 << 20, flags: ExportFlags = [.hasFlags, .flush, .forceUnitAccess, .trim, .manyConnections],
        minBlock: UInt64 = 1, maxRequest: UInt64 = 32 << 20
    ) -> Export {
        Export(size: size, flags: flags, minBlock: minBlock, maxRequest: maxRequest)
    }
}
