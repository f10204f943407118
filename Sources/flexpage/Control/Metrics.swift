import ArgumentParser
import Glibc

/// `flexpage metrics`: a server's figures for Prometheus.
struct Metrics: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics",
        abstract: "Print a server's figures in Prometheus' text format, or serve them over HTTP.",
        discussion: """
            The server must run with control=PATH. Without --listen, the figures are printed once, for the textfile \
            collector of Prometheus' node exporter. With --listen, GET /metrics on this port of localhost answers with \
            them, until the command is ended.
            """)

    @Argument(help: "The socket that control= names.", completion: .file())
    var path: String

    @Option(help: "Serve the figures over HTTP on this port of 127.0.0.1; 0 for any free port.")
    var listen: UInt16?

    func run() throws {
        guard let listen else { return print(try Metrics.text(path), terminator: "") }
        let listener = try MetricsListener(port: listen)
        print("http://127.0.0.1:\(listener.port)/metrics")
        fflush(nil)
        listener.serve { () throws(ToolFailure) in try Metrics.text(path) }
    }

    private static func text(_ path: String) throws(ToolFailure) -> String {
        MetricsText(try ControlConnection(path).figures()).text
    }
}
