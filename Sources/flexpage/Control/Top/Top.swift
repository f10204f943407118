import ArgumentParser
import FoundationEssentials
import Glibc

/// `flexpage top`: what a server does at present.
struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Watch what a server does: hits, rates, latencies and memory, with a line for each export.",
        discussion: """
            The server must run with control=PATH. READ, FILL and WRITE are bytes a second: read by clients, read \
            from the image, written to it. p50 and p99 say how long reads of the image took, FLUSH how long 99 of 100 \
            flushes took at most, AGE how long something has been dirty.

            A key sorts the exports: n by name, h hits, r read, f filled, w written, m memory, d dirty. q ends.
            """)

    @Argument(help: "The socket that control= names.", completion: .file())
    var path: String

    @Option(help: "Seconds between two looks.")
    var every = 1.0

    @Option(help: "What sorts the exports: \(TopOrder.allCases.map(\.rawValue).joined(separator: ", ")).")
    var sort = TopOrder.read

    @Flag(help: "Look for --every seconds, print what was seen, and end.")
    var once = false

    @Flag(help: "Print a line of JSON for each look.")
    var json = false

    func validate() throws {
        guard (0.1...3600).contains(every) else { throw ValidationError("--every must be from 0.1 to 3600") }
    }

    func run() throws {
        if !once, !json { return try watch() }
        var before = try look()
        repeat {
            usleep(useconds_t(every * 1_000_000))
            let now = try look()
            let report = report(from: before, to: now, by: sort)
            print(json ? try Top.text(report) : screen(report, by: sort).joined(separator: "\n"))
            fflush(nil)
            before = now
        } while !once
    }

    private struct Look {
        let figures: ServerFigures
        let time: Double
    }

    private func look() throws(ToolFailure) -> Look {
        Look(figures: try ControlConnection(path).figures(), time: Top.time)
    }

    /// Seconds of a clock that is never set back.
    private static var time: Double { Double(MonotonicTime.nanoseconds) / 1_000_000_000 }

    private func report(from before: Look, to now: Look, by order: TopOrder) -> TopReport {
        TopReport(from: before.figures, to: now.figures, seconds: max(0.001, now.time - before.time), by: order)
    }

    private func screen(_ report: TopReport, by order: TopOrder) -> [String] {
        let size = once ? (.max, .max) : Terminal.size
        return TopScreen(report, by: order, width: size.0, height: size.1).lines
    }

    private static func text(_ report: TopReport) throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(report), as: UTF8.self)
    }

    /// Shows one report after another until a key or a signal ends it. A server that is restarted is waited for.
    private func watch() throws {
        var last = try look()
        let signals = try EndSignals()
        guard let terminal = Terminal() else {
            throw ToolFailure("standard output is no terminal; --once and --json print lines")
        }
        var order = sort
        var pair = (before: last, now: last)
        var lines = ["flexpage: looking for \(Amount.seconds(every))"]
        var next = last.time + every
        while true {
            terminal.show(lines)
            let key = terminal.key(milliseconds: Int((next - Top.time) * 1000) + 1, or: signals.descriptor)
            if [0, 3, UInt8(ascii: "q")].contains(key) { return }
            if let key {
                guard let chosen = TopOrder(key: key), pair.now.time > pair.before.time else { continue }
                order = chosen
            } else {
                next = Top.time + every
                do throws(ToolFailure) {
                    pair = (last, try look())
                    last = pair.now
                } catch {
                    lines = ["\(error)", "waiting for it; q ends"]
                    continue
                }
            }
            lines = screen(report(from: pair.before, to: pair.now, by: order), by: order)
        }
    }
}
