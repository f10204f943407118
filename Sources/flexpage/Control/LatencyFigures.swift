/// How long calls took, for an image or for all.
protocol LatencyFigures {
    var fillLatency: ServerFigures.Latency { get }
    var writeOutLatency: ServerFigures.Latency { get }
    var syncLatency: ServerFigures.Latency { get }
    var flushLatency: ServerFigures.Latency { get }
}
