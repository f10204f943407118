import ArgumentParser
import FoundationEssentials
import Glibc
import Paging

/// `flexpage advise`: what hit ratio other amounts of memory would give.
struct Advise: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "advise",
        abstract: "Tell what hit ratio other values of memory= would give.",
        discussion: """
            The server must run with control=PATH. It simulates its own way of recycling at a quarter, half, twice, \
            four and eight times its memory, in miniature, with a sample of the accesses. So the advice is about what \
            its clients have done since it began. The sizes are those of memory=.

            With --trace, the same code runs over a trace, without a server. --compare also simulates each amount of \
            memory in full, as `flexpage simulate` does, and prints by how much the advice is wrong.
            """)

    @Argument(help: "The socket that control= names.", completion: .file())
    var path: String?

    @Option(parsing: .upToNextOption, help: "Trace files in place of a server.", completion: .file())
    var trace: [String] = []

    @Option(help: "With --trace: the present memory (K, M, G), or several, separated by commas. (default: 64M)")
    var memory: MemorySizes?

    @Option(
        parsing: .upToNextOption, help: "With --trace: the ways of paging: fixed, flexible, ahead. (default: ahead)")
    var pages: [PagingWay] = []

    @Flag(help: "With --trace: simulate writes as writes; without this, they count as reads.")
    var writes = false

    @Flag(help: "With --trace: print the errors against full simulations, and their mean.")
    var compare = false

    @Flag(help: "Print JSON: the server's answer, or one line for each trace.")
    var json = false

    func validate() throws {
        guard (path == nil) != trace.isEmpty else {
            throw ValidationError("expected either the path of a server's control socket, or --trace")
        }
        for (name, isGiven) in [
            ("memory", memory != nil), ("pages", !pages.isEmpty), ("writes", writes), ("compare", compare),
        ] where isGiven && trace.isEmpty {
            throw ValidationError("--\(name) needs --trace")
        }
        guard !compare || !json else { throw ValidationError("--compare and --json exclude each other") }
    }

    func run() throws {
        if let path { try advise(path) } else if compare { try compareAll() } else { try adviseOnTraces() }
    }

    private func advise(_ path: String) throws {
        let connection = try ControlConnection(path)
        if json { return print(String(decoding: try connection.ask("advise"), as: UTF8.self)) }
        print(AdviceText(figures: try connection.advice()).text)
    }

    private func adviseOnTraces() throws {
        for trial in try trials {
            let figures = try trial.advice()
            guard !json else {
                let encoder = JSONEncoder()
                encoder.keyEncodingStrategy = .convertToSnakeCase
                print(String(decoding: try encoder.encode(figures), as: UTF8.self))
                continue
            }
            print("\(trial.trace.name), \(trial.way.title) pages:\n\(AdviceText(figures: figures).text)\n")
        }
    }

    private func compareAll() throws {
        var means: [Double] = []
        var table = TextTable(titles: ["trace", "memory", "pages", "mean error", "largest"])
        for trial in try trials {
            let errors = try trial.errors(of: try trial.advice())
            let mean = errors.reduce(0, +) / Double(errors.count)
            means.append(mean)
            table.add([
                trial.trace.name, MemorySize(bytes: trial.memory).text, trial.way.title, mean.text(digits: 4),
                (errors.max() ?? 0).text(digits: 4),
            ])
        }
        print(table.text)
        print("mean error: \((means.reduce(0, +) / Double(means.count)).text(digits: 4))")
    }

    private var trials: [AdviceTrial] {
        get throws {
            let sizes = (memory ?? MemorySizes(argument: "64M")!).sizes
            let ways = pages.isEmpty ? [PagingWay.ahead] : pages
            return try trace.flatMap { path in
                let trace = try Trace(path: path)
                return sizes.flatMap { size in
                    ways.map { AdviceTrial(trace: trace, memory: size.bytes, way: $0, writes: writes) }
                }
            }
        }
    }
}
