import FoundationEssentials

@testable import flexpage

/// Figures as a server tells them. Each number has a value of its own, unless a test sets it.
struct SampleFigures {
    private let names: [String]
    /// By the name in the JSON text; the same for all images and in all. A value for the memory alone has the prefix
    /// `memory.`.
    var values: [String: UInt64]

    private static let memory = [
        "bound_bytes", "in_use_bytes", "peak_bytes", "pages_bytes", "dirty_bytes", "known_zero_bytes",
        "limit_bytes", "held_bytes",
    ]
    private static let counters = [
        "hits", "misses", "zero_hits", "fills", "failed_fills", "recycles", "writes", "written_bytes", "failed_writes",
        "dirty_bytes", "allowed_dirty_bytes", "filled_bytes", "prefetched_bytes", "prefetched_in_vain_bytes",
        "failed_syncs", "failed_flushes", "waits",
    ]
    private static let totals = ["moves", "dirty_waits", "dirty_age_ms"]
    private static let image = ["size_bytes", "held_bytes", "reserved_bytes", "readahead_bytes", "dirty_age_ms"]

    /// - Parameter names: Of the images, as JSON text has them between quotation marks.
    init(_ names: [String], _ values: [String: UInt64] = [:]) {
        self.names = names
        self.values = values
    }

    /// How many calls took at most 1, 2, 4 microseconds and so on, and more.
    var latency: [UInt64] = [1, 2] + [UInt64](repeating: 0, count: 25) + [3]
    var isInTrouble = true

    func figures() throws -> ServerFigures {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(ServerFigures.self, from: Data(text.utf8))
    }

    private var text: String {
        let counters = "\"counters\":{\(members(Self.counters, 1))}"
        let counts = latency.map { "\($0)" }.joined(separator: ",")
        let sum = values["sum_us"] ?? 12_345_678
        let latency = "{\"count\":\(latency.reduce(0, +)),\"sum_us\":\(sum),\"at_most_us\":[\(counts)]}"
        let latencies = ["fill", "write_out", "sync", "flush"].map { "\"\($0)_latency\":\(latency)" }
        let images = names.map { name in
            "{\"name\":\"\(name)\",\(members(Self.image, 1)),\"is_losing\":false,\"is_in_trouble\":\(isInTrouble),"
                + "\(counters),\(latencies.joined(separator: ","))}"
        }
        return "{\"ok\":true,\"version\":\"0.2.0\",\"pid\":1,\"memory\":{\(members(Self.memory, 1))},"
            + "\"all\":{\(counters),\(latencies.joined(separator: ",")),\(members(Self.totals, 13))},"
            + "\"images\":[\(images.joined(separator: ","))]}"
    }

    /// - Parameter first: The value of the first one that no test has set; the others count on.
    private func members(_ names: [String], _ first: UInt64) -> String {
        names.enumerated().map { "\"\($1)\":\(value($1, names) ?? first + UInt64($0))" }.joined(separator: ",")
    }

    private func value(_ name: String, _ names: [String]) -> UInt64? {
        names == Self.memory ? values["memory.\(name)"] ?? values[name] : values[name]
    }
}
