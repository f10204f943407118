/// What the control socket answers: one JSON object on one line. Its member `ok` says whether the order was carried
/// out, and if not, `error` says why.
enum ControlAnswer {
    case done([(name: String, value: JSON)])
    case refused(ControlError)

    var line: String {
        switch self {
        case .done(let members): JSON.object([("ok", .flag(true))] + members).line
        case .refused(let error): JSON.object([("ok", .flag(false)), ("error", .text(error.text))]).line
        }
    }
}
