import Accessors
import CStateFormat
import Glibc
import Paging
import SystemPackage

/// What is in a state, as text for a person.
struct StateReport {
    private let state: KeptState

    init(_ state: KeptState) { self.state = state }

    /// Lines: which server has left it and when, and one for each image.
    var text: String {
        var table = TextTable(titles: ["image", "owed", "clean"])
        for contents in state.contents {
            table.add([name(contents.image), StateReport.size(contents.owed), StateReport.size(contents.clean)])
        }
        return "\(server)\n\(table.text)\n\(notes.map { "\($0)\n" }.joined())"
    }

    private var server: String {
        let header = state.header.pointee
        guard header.server != 0 else { return "no server has begun to serve with it" }
        let number = String(header.server, radix: 16)
        return "server \(number), last alive \(StateReport.time(header.alive)); "
            + "room for \(StateReport.size(state.frames))"
    }

    private func name(_ image: KeptImage) -> String {
        image.path.isEmpty ? "without a path" : image.path.withoutControls
    }

    /// What the table does not say.
    private var notes: [String] {
        state.imagesInUse.map(\.image).flatMap { image in
            var notes: [String] = []
            if image.isUnsynced {
                notes.append("\(name(image)): changes that are not in memory may not be durable; --write-out syncs it")
            }
            notes += [image.doubt].compactMap { $0 }
            if image.hasLoss {
                let error = Errno(rawValue: Int32(image.record.pointee.loss))
                notes.append("\(name(image)): a failed sync has lost writes (\(error)); check the image")
            }
            return notes
        }
    }

    private static func size(_ pages: Int) -> String {
        pages == 0 ? "0" : MemorySize(bytes: pages * BasePage.size).text
    }

    /// The local time of a number of nanoseconds since 1970.
    private static func time(_ nanoseconds: UInt64) -> String {
        guard nanoseconds > 0 else { return "never" }
        var seconds = time_t(nanoseconds / 1_000_000_000)
        var parts = tm()
        guard localtime_r(&seconds, &parts) != nil else { return "at an unknown time" }
        var text = [CChar](repeating: 0, count: 64)
        let count = strftime(&text, text.count, "%Y-%m-%d %H:%M:%S", &parts)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    // MARK: Write-outs

    static func written(_ outcome: StateWriteOut.Outcome) -> String {
        let path = outcome.path.withoutControls
        return outcome.writtenPages > 0
            ? "\(path): \(size(outcome.writtenPages)) written out and durable" : "\(path): synced"
    }

    /// - Parameter failure: Begins with the path.
    static func notWritten(_ outcome: StateWriteOut.Outcome, _ failure: String) -> String {
        let wayOut = outcome.isChanged ? ", and --even-if-changed would write them" : ""
        return outcome.owedPages > 0
            ? "\(failure); \(size(outcome.owedPages)) are still owed to it\(wayOut)"
            : "\(failure); changes that are not in memory may not be durable"
    }
}
