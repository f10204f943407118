/// A device attached to an export, and attached again whenever the server is back.
///
///     run: connect, attach ──> attached ──── linkDead: reconnect ───> waiting
///                              │  │  ^                                │ │ │ │
///                              │  │  └─── tryAgain: attachAgain ──────┘ │ │ └─ the wait is over: AttachError
///                              │  └───────── stop: end ─────────────────┘ │
///                              └──── detached by another: run returns ────┘
///
/// The kernel holds requests back for `wait` seconds after the last connection has died, and then fails them. So does
/// this: it gives up when that time is over. The device stays attached then, and another run may go on with it.
///
/// Rules:
/// 1. Only an export that is like the first is handed to the kernel: same size, and it allows what the kernel was told.
/// 2. The kernel reports a dead connection just before it marks it as dead, and throws away new ones until it has. So
///    the first attempt to reconnect comes `firstPause` later, and each report that arrives meanwhile starts that pause
///    anew.
/// 3. A report may belong to a connection that has been replaced since. An attempt too many does no harm: the kernel
///    closes connections for which it has no place.
struct Attachment {
    let name: String
    let wait: Int
    let connections: Int
    let server: any ExportServer
    let kernel: any NBDKernel
    let events: any AttachEvents
    let report: (AttachReport) -> Void

    /// In milliseconds: pauses between attempts, how long one may take, and how often to look whether the device is
    /// attached at all. The kernel reports that to nobody.
    static let firstPause = 100
    static let maxPause = 1000
    static let maxAttempt = 10_000
    static let lookInterval = 1000

    /// Returns when the device is detached, by a signal or by another program.
    func run() throws {
        let (export, new) = try server.connect(count: connections, milliseconds: Self.maxAttempt)
        try export.check(connections: connections)
        let way = try kernel.attach(export, new)
        report(.attached(export, way))
        while true {
            switch events.next(milliseconds: Self.lookInterval) {
            case .linkDead:
                guard try reconnect(to: export) else { return }
            case .stop:
                return try end(isConnected: true)
            case .time:
                guard kernel.isAttached else { return report(.detachedByAnother) }
            }
        }
    }

    /// Returns whether the device is still attached.
    private func reconnect(to export: Export) throws -> Bool {
        let begin = events.now
        let deadline = begin + wait * 1000
        var pause = Self.firstPause
        var lastProblem: String?
        report(.linkDead)
        while true {
            let left = deadline - events.now
            guard left > 0 else { throw giveUp(lastProblem) }
            switch events.next(milliseconds: min(pause, left)) {
            case .linkDead: continue
            case .stop:
                try end(isConnected: false)
                return false
            case .time: break
            }
            guard kernel.isAttached else {
                report(.detachedByAnother)
                return false
            }
            switch try tryAgain(export, milliseconds: min(Self.maxAttempt, max(1, deadline - events.now))) {
            case .done:
                report(.attachedAgain(milliseconds: events.now - begin))
                return true
            case .stopped: return false
            case .refused(let problem):
                // It may be the wrong one for long: one line is enough.
                if problem != lastProblem { report(.refused(problem)) }
                lastProblem = problem
            case .absent(let problem): lastProblem = problem
            }
            pause = min(pause * 2, Self.maxPause)
        }
    }

    private enum Attempt {
        case done
        case stopped
        case refused(String)
        case absent(String)
    }

    private func tryAgain(_ export: Export, milliseconds: Int) throws -> Attempt {
        let new: (export: Export, connections: [Connection])
        do {
            new = try server.connect(count: connections, milliseconds: milliseconds)
        } catch is Stopped {
            try end(isConnected: false)
            return .stopped
        } catch let error as AttachError {
            return .absent(error.description)
        }
        if let difference = export.difference(from: new.export, connections: connections) {
            return .refused(difference)
        }
        try kernel.attachAgain(new.connections)
        return .done
    }

    private func giveUp(_ problem: String?) -> AttachError {
        let why = problem.map { " (\($0))" } ?? ""
        // The kernel goes on with other connections, and does not tell how many there are.
        let end = connections > 1 ? "when no connection is left" : "from here on"
        return AttachError(
            "\(name): the server did not come back within \(wait) s\(why); the kernel fails all requests \(end). "
                + "Attach it again with the same URI when the server is back, or run: flexpage detach \(name)")
    }

    private func end(isConnected: Bool) throws {
        do {
            try kernel.detach(writingOut: isConnected)
        } catch let inUse as DeviceInUse {
            throw AttachError(
                "\(inUse). It stays attached, but nobody reconnects it. Run the same command again to go on, "
                    + "or free the device, and run: flexpage detach \(name)")
        }
        report(.detached)
    }
}
