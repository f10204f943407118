import Accessors
import FoundationEssentials
import Paging

/// What a running server has in memory of an image.
struct WarmServer {
    /// The control socket.
    let path: String
    /// Nil for the server's only image.
    let export: String?

    /// What a server answers to the order `resident`.
    private struct Answer: Decodable {
        let sizeBytes: UInt64
        /// A warmth, an offset and a length in turn.
        let runs: [UInt64]
    }

    /// - Throws: A sentence that names the socket.
    func entry() throws(ToolFailure) -> WarmList.Entry {
        let connection = try ControlConnection(path)
        let name = if let export { export } else { try onlyImage(of: connection) }
        let line = try connection.ask("resident \(ControlConnection.word(name))")
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        guard let answer = try? decoder.decode(Answer.self, from: Data(line)), answer.runs.count % 3 == 0,
            answer.sizeBytes <= UInt64(Pages.maxImageSize)
        else { throw strange }
        let page = UInt64(BasePage.size)
        var runs: [ResidentRun] = []
        for index in stride(from: 0, to: answer.runs.count, by: 3) {
            let (warmth, offset, length) = (answer.runs[index], answer.runs[index + 1], answer.runs[index + 2])
            guard warmth <= ResidentRun.maxWarmth, offset % page == 0, length % page == 0, length > 0,
                offset < answer.sizeBytes, length <= answer.sizeBytes + page - offset
            else { throw strange }
            let run = ResidentRun(offset / page..<(offset + length) / page, warmth: UInt8(warmth))
            // The format wants them in this order.
            guard runs.last.map({ WarmServer.isInOrder($0, run) }) ?? true else { throw strange }
            runs.append(run)
        }
        return WarmList.Entry(name: "", size: Int64(answer.sizeBytes), runs: runs)
    }

    private var strange: ToolFailure {
        ToolFailure("\(path.withoutControls): the answer is not one of a Flexpage server of this version")
    }

    private static func isInOrder(_ first: ResidentRun, _ second: ResidentRun) -> Bool {
        first.warmth > second.warmth
            || first.warmth == second.warmth && first.pages.upperBound <= second.pages.lowerBound
    }

    private func onlyImage(of connection: ControlConnection) throws(ToolFailure) -> String {
        let images = try connection.figures().images
        guard images.count == 1 else {
            throw ToolFailure(
                "\(path.withoutControls): the server has \(images.count) images open; expected --export with the name "
                    + "of one")
        }
        return images[0].name
    }
}
