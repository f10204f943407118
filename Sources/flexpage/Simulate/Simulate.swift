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

            With --compress, a share of the memory keeps compressed what the pager recycles, which the plugin does not \
            do. The file is what the images contain. The table says what that would save, processor time included.
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

    @Option(
        help: ArgumentHelp(
            "Simulate a second tier of memory, which keeps recycled pages compressed: an image for their content.",
            valueName: "image"),
        completion: .file())
    var compress: String?

    @Option(
        help: ArgumentHelp(
            "With --compress: the shares of the memory that the tier has, per cent (default: \(defaultShares)).",
            valueName: "percent,…"))
    var compressShares: Percentages?

    @Option(
        help: ArgumentHelp(
            "With --compress: which recycled pages the tier takes, all or those of the main queue (default: all)."))
    var compressFrom: TierAdmission?

    @Flag(help: "Print JSON instead of a table.")
    var json = false

    @Option(help: "Also draw the results into this file, as SVG.", completion: .file(extensions: ["svg"]))
    var plot: String?

    private static let defaultShares = "0,10,20,30,40,50,60"
    /// The pager must have some memory.
    private static let maxShare = 90

    func validate() throws {
        guard memory.sizes.allSatisfy({ $0.bytes >= Pages.minMemory }) else {
            throw ValidationError("--memory must be at least \(MemorySize(bytes: Pages.minMemory).text)")
        }
        guard !together || plot == nil else { throw ValidationError("--plot and --together exclude each other") }
        guard !together || traces.count > 1 else { throw ValidationError("--together needs at least two traces") }
        try validateShares()
    }

    private func validateShares() throws {
        guard compress != nil else {
            guard compressShares == nil else { throw ValidationError("--compress-shares is for --compress") }
            guard compressFrom == nil else { throw ValidationError("--compress-from is for --compress") }
            return
        }
        guard !together else { throw ValidationError("--compress and --together exclude each other") }
        guard plot == nil else { throw ValidationError("--compress and --plot exclude each other") }
        guard shares.allSatisfy({ 0...Simulate.maxShare ~= $0 }) else {
            throw ValidationError("--compress-shares must be 0 to \(Simulate.maxShare) per cent")
        }
        for size in memory.sizes {
            guard let most = shares.max(), size.bytes - size.bytes / 100 * most < Pages.minMemory else { continue }
            throw ValidationError(
                "with --memory \(size.text), a share of \(most) % leaves the pager less than "
                    + "\(MemorySize(bytes: Pages.minMemory).text); expected a larger --memory or a smaller share")
        }
    }

    /// The shares of the tier, each once, without one first: that is what the others are compared with.
    var shares: [Int] {
        let wanted = (compressShares ?? Percentages(argument: Simulate.defaultShares)!).values
        var shares = [0]
        for share in wanted where !shares.contains(share) { shares.append(share) }
        return shares
    }

    func run() throws {
        if let compress { try runCompressed(compress) } else if together { try runTogether() } else { try runEach() }
    }

    private func runCompressed(_ image: String) throws {
        let trial = try CompressionTrial(image: image, admission: compressFrom ?? .all)
        var report = CompressionReport(image: image, costs: trial.costs)
        for (path, trace) in zip(traces, try traces.map(read)) {
            for size in memory.sizes {
                for way in pages {
                    try explaining([trace], path, size) {
                        let whole = simulation(size, way)
                        for share in shares { report.add(try trial.run(trace, whole, share: share)) }
                    }
                }
            }
        }
        print(json ? report.json : report.table)
    }

    private func runEach() throws {
        var report = Report(writes: writes)
        for (path, trace) in zip(traces, try traces.map(read)) {
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
        try explaining(traces, path, size) { try simulation(size, way).run(traces) }
    }

    private func simulation(_ size: MemorySize, _ way: PagingWay) -> Simulation {
        Simulation(memory: size.bytes, way: way, countsTables: inside, writes: writes)
    }

    /// Says of an error of the pager what it was simulating.
    private func explaining<Result>(
        _ traces: [Trace], _ path: String, _ size: MemorySize, _ body: () throws -> Result
    ) throws -> Result {
        do {
            return try body()
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
