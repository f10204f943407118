import ArgumentParser
import Glibc
import Paging

struct Advise: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "advise", abstract: "x")
    @Option(parsing: .upToNextOption) var trace: [String] = []
    @Option var memory = MemorySizes(argument: "64M")!
    @Option(parsing: .upToNextOption) var pages: [PagingWay] = [.ahead]

    func run() throws {
        for path in trace {
            let t = try Trace(path: path)
            for size in memory.sizes { for way in pages {
                var s = Simulation(memory: size.bytes, way: way)
                s.advice = Pages.adviceBytes(memory: size.bytes)
                let (f, a) = try s.runAdvised([t])
                guard let a else { print("no advice"); continue }
                let r = a.points.map { (($0.misses / Double(a.reads)) * 1000).rounded() / 1000 }
                print(t.name, size.text, way.rawValue, f[0].missRatio, a.reads, a.samples, r)
            }}
        }
    }
}
