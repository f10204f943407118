import Accessors
import ArgumentParser
import Glibc
import Paging

/// `flexpage warm`: makes a list of what a server reads at its start (warm=).
struct Warm: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "warm",
        abstract: "Make a file for warm=, which says what a server reads at its start.",
        discussion: """
            With --trace, the requests of a trace run through the pager, and what is in memory after them is written. \
            With --server, what a server that runs with control=PATH has in memory at present is. The list has no \
            data, and fits every image of the same size: record the boot of one, and use the list for its clones.
            """)

    @Argument(help: "The file to be written. If it holds a list, that is replaced.", completion: .file())
    var file: String

    @Option(help: "A trace of requests, as for simulate.", completion: .file())
    var trace: String?

    @Option(help: "The image that the trace was recorded with, for its size.", completion: .file())
    var image: String?

    @Option(help: "The memory of the pager for the trace (K, M, G).")
    var memory = MemorySizes(argument: "256M")!

    @Option(help: "The socket that control= names.", completion: .file())
    var server: String?

    @Option(help: "The export of the server; by default its only image.")
    var export: String?

    func validate() throws {
        guard (trace == nil) != (server == nil) else {
            throw ValidationError("expected --trace or --server, one of them")
        }
        if trace != nil {
            guard image != nil else { throw ValidationError("--trace needs --image, whose size the list names") }
            guard export == nil else { throw ValidationError("--export is for --server") }
            guard memory.sizes.count == 1, memory.sizes[0].bytes >= Pages.minMemory else {
                throw ValidationError("--memory must be one size, at least \(MemorySize(bytes: Pages.minMemory).text)")
            }
        } else {
            guard image == nil else { throw ValidationError("--image is for --trace") }
        }
    }

    func run() throws {
        let entry =
            if let trace, let image {
                try WarmTrace(path: trace, image: image, memory: memory.sizes[0].bytes).entry()
            } else {
                try WarmServer(path: server ?? "", export: export).entry()
            }
        var list = WarmList()
        list.set(entry)
        do throws(WarmError) {
            try WarmFile(file).write(list)
        } catch {
            throw ToolFailure("\(file.withoutControls): \(error)")
        }
        let (pages, runs) = entry.runs.reduce((0, 0)) { ($0.0 + $1.pages.count, $0.1 + 1) }
        print("\(file.withoutControls): \(pages * BasePage.size >> 10) KiB in \(runs) runs")
    }
}
