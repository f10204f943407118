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

            With --together, all traces run in one memory, each with images of its own, and the hits of each are \
            compared with those it has alone. If all traces have times (fio's version 3, nbdkit's logs), the time \
            since the first request of each trace decides the order. Otherwise the traces take turns.

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

    @Flag(help: "Run all traces in one memory, as several images, and compare the hits of each with those alone.")
    var together = false

    @Flag(help: "Print JSON instead of a table.")
    var json = false

    @Option(help: "Also draw the results into this file, as SVG.", completion: .file(extensions: ["svg"]))
    var plot: String?

    func validate() throws {
        guard memory.sizes.allSatisfy({ $0.bytes >= Pages.minMemory }) else {
            throw ValidationError("--memory must be at least \(MemorySize(bytes: Pages.minMemory).text)")
        }
        guard !together || plot == nil else { throw ValidationError("--plot and --together exclude each other") }
        guard !together || traces.count > 1 else { throw ValidationError("--together needs at least two traces") }
    }

    func run() throws {
        if together { try runTogether() } else { try runEach() }
    }

    private func runEach() throws {
        var report = Report(writes: writes)
        for path in traces {
            let trace = try read(path)
            for size in memory.sizes {
                for way in pages { report.add(try simulate([trace], path, size, way)[0]) }
            }
        }
        print(json ? report.json : report.table)
        if let plot { try Plot(report.figures).write(to: plot) }
    }

    private func runTogether() throws {
        let read = try traces.map(read)
        var report = TogetherReport()
        for size in memory.sizes {
            for way in pages {
                let alone = try zip(read, traces).map { try simulate([$0], $1, size, way)[0] }
                let together = try simulate(read, traces.joined(separator: ", "), size, way)
                report.add(alone: alone, together: together)
            }
        }
        print(json ? report.json : report.table)
    }

    private func read(_ path: String) throws -> Trace {
        let trace = try Trace(path: path)
        if trace.leftOut > 0 { note("\(path): skipped \(trace.leftOut) requests that neither read nor write data") }
        return trace
    }

    private func simulate(
        _ traces: [Trace], _ path: String, _ size: MemorySize, _ way: PagingWay
    ) throws -> [Figures] {
        let simulation = Simulation(
            memory: size.bytes, way: way, countsTables: inside, writes: writes)
        do {
            return try simulation.run(traces)
        } catch let error as AccessError {
            let reason = String(cString: strerror(error.code))
            let images = traces.reduce(0) { $0 + $1.imageSizes.count }
            throw TraceError(path, "\(images) images with memory \(size.text): \(reason)")
        }
    }

    private func note(_ text: String) {
        let line = Array("\(text)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }
}
