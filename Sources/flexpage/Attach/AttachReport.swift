/// What an attachment tells: a line for a person or a log, and a state for systemd.
enum AttachReport {
    case attached(Export, AttachedAs)
    case linkDead
    case refused(String)
    case attachedAgain(milliseconds: Int)
    case detached
    case detachedByAnother

    func line(_ device: NBDDevice, uri: String, wait: Int) -> String {
        switch self {
        case .attached(let export, let way):
            let writing = export.isReadOnly ? ", read-only" : ""
            let tail =
                export.size == export.deviceSize ? "" : " (the last \(export.size - export.deviceSize) are no block)"
            let verb = way == .new ? "attached" : "was attached before; goes on"
            return "\(device): \(verb): \(uri), \(export.size) bytes\(tail)\(writing)"
        case .linkDead: return "\(device): a connection has ended; requests wait up to \(wait) s for the server"
        case .refused(let problem):
            return "\(device): \(problem); not attached to it. Waiting for the export that was attached"
        case .attachedAgain(let milliseconds):
            return "\(device): attached again after \(milliseconds / 1000).\(milliseconds % 1000 / 100) s"
        case .detached: return "\(device): detached"
        case .detachedByAnother: return "\(device): detached by another program"
        }
    }
}
