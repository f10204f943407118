import ArgumentParser
import Glibc
import Paging

/// `flexpage simulate`: the miss ratios and I/Os of traces with given amounts of memory.
struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run traces through the pager, and print miss ratios and I/Os.",
        discussion: """
            A trace is a file of lines `op,offset,length` (R or W, bytes, bytes), an iolog of fio (version 2 or 3), \
            or a log of nbdkit's log filter. Files that end in .gz or .zst are decompressed. The requests run through \
            the plugin's own pager, one after the other: with fixed pages of 4 KiB, with flexible pages, and with \
            readahead as well. Readahead is assumed to finish before the next request. No images are needed.

            --memory is the memory for pages alone, so that results are comparable with other simulators. With \
            --inside, it includes the tables, like the plugin's memory=.
            """)

    @Argument(help: "Trace files.", completion: .file())
    var traces: [String]

    @Option(help: "Amounts of memory (K, M, G), separated by commas.")
    var memory = MemorySizes(argument: "16M,64M,256M")!

    @Option(parsing: .upToNextOption, help: "The ways of paging: fixed, flexible, ahead.")
    var pages = PagingWay.allCases

    @Flag(help: "Simulate writes as writes; without this, they count as reads.")
    var writes = false

    @Flag(help: "Count the pager's tables as part of the memory.")
    var inside = false

    @Flag(help: "Print JSON instead of a table.")
    var json = false

    @Option(help: "Also draw the results into this file, as SVG.", completion: .file(extensions: ["svg"]))
    var plot: String?

    func validate() throws {
        guard memory.sizes.allSatisfy({ $0.bytes >= Pages.minMemory }) else {
            throw ValidationError("--memory must be at least \(MemorySize(bytes: Pages.minMemory).text)")
        }
    }

    func run() throws {
        var report = Report(writes: writes)
        for path in traces {
            let trace = try Trace(path: path)
            if trace.leftOut > 0 { note("\(path): skipped \(trace.leftOut) requests that neither read nor write data") }
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
