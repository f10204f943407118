import ArgumentParser
import Glibc
import Paging

/// `flexpage simulate`: what traces of requests would cost with some amounts of memory.
struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Runs traces through the pager and tells what they would cost.",
        discussion: """
            A trace is a file of `op,offset,length` (R or W, bytes, bytes), an iolog of fio (version 2 or 3), or what \
            nbdkit's log filter writes; plain, or ending in .gz or .zst. The requests go, one after the other, through \
            the code that serves: with pages of fixed 4 KiB, with flexible ones, and with reading ahead as well, \
            which is taken to be done before the next request. Images are not needed.

            --memory is the memory of pages alone, so that figures compare with other simulators; with --inside it is \
            what the plugin's memory= is, tables and all.
            """)

    @Argument(help: "Files with traces.", completion: .file())
    var traces: [String]

    @Option(help: "Amounts of memory (K, M, G), with commas between them.")
    var memory = MemorySizes(argument: "16M,64M,256M")!

    @Option(parsing: .upToNextOption, help: "The ways of paging: fixed, flexible, ahead.")
    var pages = PagingWay.allCases

    @Flag(help: "Write what the trace writes; else all is read.")
    var writes = false

    @Flag(help: "Count the tables of paging as part of the memory.")
    var inside = false

    @Flag(help: "Print JSON instead of a table.")
    var json = false

    @Option(help: "Also draw the figures into this file, as SVG.", completion: .file(extensions: ["svg"]))
    var plot: String?

    func validate() throws {
        guard memory.sizes.allSatisfy({ $0.bytes >= Pages.minMemory }) else {
            throw ValidationError("--memory is at least \(MemorySize(bytes: Pages.minMemory).text)")
        }
    }

    func run() throws {
        var report = Report(writes: writes)
        for path in traces {
            let trace = try Trace(path: path)
            if trace.leftOut > 0 { note("\(path): left out \(trace.leftOut) requests that read and write no data") }
            for size in memory.sizes {
                for way in pages { report.add(try simulate(trace, path, size, way)) }
            }
        }
        print(json ? report.json : report.table)
        if let plot { try Plot(report.figures).write(to: plot) }
    }

    private func simulate(
        _ trace: Trace, _ path: String, _ size: MemorySize, _ way: PagingWay
    ) throws -> Figures {
        let simulation = Simulation(
            memory: size.bytes, way: way, countsTables: inside, writes: writes)
        do {
            return try simulation.run(trace)
        } catch let error as AccessError {
            let reason = String(cString: strerror(error.code))
            throw TraceError(path, "\(trace.imageSizes.count) images with memory \(size.text): \(reason)")
        }
    }

    private func note(_ text: String) {
        let line = Array("\(text)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }
}
