import Glibc
import Paging
import SystemPackage

// The order `limit` of the control socket.
extension Server {
    /// Seconds that the order waits for its end, unless the system refuses. After that it answers how far it is, and
    /// the server goes on with it.
    private static let patience = 10

    /// Limits the memory in use, if `bytes` is not nil, and tells how far that is.
    func limit(_ bytes: Int?, _ client: ControlClient) throws(ControlError) -> Members {
        let limit = try running().limit
        if let bytes {
            let order = try begin(bytes, limit)
            var (progress, waited) = (limit.progress, 0)
            while !progress.isReached, !progress.isRefused, progress.orders == order,
                waited < Server.patience * 1000, !client.isGone
            {
                usleep(2000)
                waited += 2
                progress = limit.progress
            }
            guard progress.orders == order else { throw ControlError("another limit was ordered before this was done") }
        }
        return Server.members(limit.progress)
    }

    /// - Returns: The number of the order.
    private func begin(_ bytes: Int, _ limit: MemoryLimit) throws(ControlError) -> Int {
        do throws(LimitRefusal) {
            return try limit.set(bytes, reserves: settings.reserves)
        } catch {
            throw ControlError("limit: \(sentence(error, bytes))")
        }
    }

    private func sentence(_ refusal: LimitRefusal, _ bytes: Int) -> String {
        switch refusal {
        case .above(let max):
            "\(ByteCount.text(bytes)) is more than memory=; expected at most \(ByteCount.text(max))"
        case .below(let min):
            "\(ByteCount.text(bytes)) is too little for tables\(settings.reserves.isEmpty ? "" : ", reserves") and "
                + "requests; expected at least \(ByteCount.text(min))"
        case .noThread(let error):
            "cannot start a thread: \(Errno(rawValue: error.code))"
        }
    }

    private static func members(_ progress: LimitProgress) -> Members {
        let members: Members = [
            ("limit_bytes", .number(UInt64(progress.limit))), ("held_bytes", .number(UInt64(progress.held))),
            ("is_reached", .flag(progress.isReached)),
        ]
        return members + (progress.obstacle.map { [("obstacle", .text(sentence($0)))] } ?? [])
    }

    private static func sentence(_ obstacle: LimitProgress.Obstacle) -> String {
        switch obstacle {
        case .inUse: "too many pages are in use, or wait for a disk; it is tried again"
        case .notTaken(let error): "the system does not take memory back: \(Errno(rawValue: error.code))"
        case .notGiven(let error): "the system has no memory to give: \(Errno(rawValue: error.code)); it is asked again"
        }
    }
}
