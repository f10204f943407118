/// A server's figures in Prometheus' text format, version 0.0.4.
///
/// Names and units follow Prometheus' conventions: base units (bytes, seconds), `_total` for what only grows, `_info`
/// for what is text. Of an image, the label `export` is its name. An image's counters begin anew when it is opened
/// anew; those without the label do not.
struct MetricsText {
    private(set) var text = ""

    private typealias Image = ServerFigures.Image

    private enum Kind: String { case counter, gauge, histogram }

    private typealias Labels = [(name: String, value: String)]

    /// One number of `Root`: the end of the family's name, and what it means.
    private struct Entry<Root, Value>: Sendable {
        let name: String
        let help: String
        let value: @Sendable (Root) -> Value

        init(_ name: String, _ help: String, _ value: @escaping @Sendable (Root) -> Value) {
            (self.name, self.help, self.value) = (name, help, value)
        }
    }

    /// What is counted for each image as well as for all.
    private static let counters: [Entry<ServerFigures.Counters, UInt64>] = [
        Entry("hits_total", "Pages of 4096 bytes that were in memory when a client wanted them.") { $0.hits },
        Entry("misses_total", "Pages of 4096 bytes that had to be read for a client.") { $0.misses },
        Entry("zero_hits_total", "Pages of 4096 bytes that were known to be zeroes.") { $0.zeroHits },
        Entry("fills_total", "Reads of images that succeeded.") { $0.fills },
        Entry("filled_bytes_total", "Bytes in the reads of images.") { $0.filledBytes },
        Entry("prefetched_bytes_total", "Of these, bytes that were read ahead.") { $0.prefetchedBytes },
        Entry("prefetched_in_vain_bytes_total", "Of these, bytes whose memory was taken before anybody used them.") {
            $0.prefetchedInVainBytes
        },
        Entry("failed_fills_total", "Reads of images that failed.") { $0.failedFills },
        Entry("recycles_total", "Pieces of images whose memory was taken for others.") { $0.recycles },
        Entry("writes_total", "Writes to images that succeeded.") { $0.writes },
        Entry("written_bytes_total", "Bytes written to images.") { $0.writtenBytes },
        Entry("failed_writes_total", "Writes to images that failed.") { $0.failedWrites },
        Entry("failed_syncs_total", "Syncs of images that failed.") { $0.failedSyncs },
        Entry("failed_flushes_total", "Flushes of clients that failed.") { $0.failedFlushes },
        Entry("waits_total", "Times that a request waited for a page or for memory.") { $0.waits },
    ]

    private static let totals: [Entry<ServerFigures.All, UInt64>] = [
        Entry("moves_total", "Pages of 4096 bytes moved in memory to make room for a large piece.") { $0.moves },
        Entry("dirty_waits_total", "Times that a writer waited because of dirty= or flush-time=.") { $0.dirtyWaits },
    ]

    private static let memory: [Entry<ServerFigures.Memory, UInt64>] = [
        Entry("bound_bytes", "The value of memory=.") { $0.boundBytes },
        Entry("limit_bytes", "What the memory is limited to at present.") { $0.limitBytes },
        Entry("held_bytes", "Bytes that the server has not given back to the system.") { $0.heldBytes },
        Entry("in_use_bytes", "Bytes that cached pages and their tables take.") { $0.inUseBytes },
        Entry("peak_bytes", "The maximum of flexpage_memory_in_use_bytes.") { $0.peakBytes },
        Entry("pages_bytes", "Bytes that there are for cached pages, without their tables.") { $0.pagesBytes },
        Entry("dirty_bytes", "Bytes that are newer than the images.") { $0.dirtyBytes },
        Entry("known_zero_bytes", "Bytes that are known to be zeroes and take no memory.") { $0.knownZeroBytes },
    ]

    private static let gauges: [Entry<Image, UInt64>] = [
        Entry("size_bytes", "Bytes in the image.") { $0.sizeBytes },
        Entry("held_bytes", "Bytes of the image in memory.") { $0.heldBytes },
        Entry("reserved_bytes", "Memory that is reserved for the image.") { $0.reservedBytes },
        Entry("readahead_bytes", "The maximum readahead for a sequential reader.") { $0.readaheadBytes },
        Entry("dirty_bytes", "Bytes that are newer than the image.") { $0.counters.dirtyBytes },
        Entry("allowed_dirty_bytes", "Dirty bytes at which writers wait.") { $0.counters.allowedDirtyBytes },
        Entry("in_trouble", "1 if data of the image cannot be written out or synced at present.") {
            $0.isInTrouble ? 1 : 0
        },
        Entry("losing", "1 if a failed sync has lost data of the image.") { $0.isLosing ? 1 : 0 },
    ]

    private static let latencies: [Entry<any LatencyFigures, ServerFigures.Latency>] = [
        Entry("fill_seconds", "How long reads of images took.") { $0.fillLatency },
        Entry("write_out_seconds", "How long write-outs took.") { $0.writeOutLatency },
        Entry("sync_seconds", "How long syncs took.") { $0.syncLatency },
        Entry("flush_seconds", "How long flushes of clients took.") { $0.flushLatency },
    ]

    init(_ figures: ServerFigures) {
        family("flexpage_info", .gauge, "A Flexpage server; its version is a label.")
        sample("flexpage_info", [("version", figures.version)], "1")
        add(MetricsText.memory, "flexpage_memory", .gauge, [([], figures.memory)])
        add(MetricsText.counters, "flexpage", .counter, [([], figures.all.counters)])
        add(MetricsText.totals, "flexpage", .counter, [([], figures.all)])
        addAge("flexpage", [([], figures.all.dirtyAgeMs)])
        addLatencies("flexpage", [([], figures.all)])
        let images = zip(figures.labels, figures.images).map { (labels: [("export", $0)] as Labels, root: $1) }
        add(MetricsText.counters, "flexpage_image", .counter, images.map { ($0.labels, $0.root.counters) })
        add(MetricsText.gauges, "flexpage_image", .gauge, images)
        addAge("flexpage_image", images.map { ($0.labels, $0.root.dirtyAgeMs) })
        addLatencies("flexpage_image", images.map { ($0.labels, $0.root) })
    }

    /// - Parameter ages: Milliseconds.
    private mutating func addAge(_ prefix: String, _ ages: [(labels: Labels, age: UInt64)]) {
        guard !ages.isEmpty else { return }
        family("\(prefix)_dirty_age_seconds", .gauge, "For how long something has been dirty.")
        for (labels, age) in ages {
            sample("\(prefix)_dirty_age_seconds", labels, MetricsText.seconds(age &* 1000))
        }
    }

    private mutating func addLatencies(_ prefix: String, _ roots: [(labels: Labels, root: any LatencyFigures)]) {
        for each in MetricsText.latencies where !roots.isEmpty {
            family("\(prefix)_\(each.name)", .histogram, each.help)
            for (labels, root) in roots { add(each.value(root), "\(prefix)_\(each.name)", labels) }
        }
    }

    /// A family for each entry, with a sample for each root. A family without samples says nothing.
    private mutating func add<Root>(
        _ entries: [Entry<Root, UInt64>], _ prefix: String, _ kind: Kind, _ roots: [(labels: Labels, root: Root)]
    ) {
        for each in entries where !roots.isEmpty {
            family("\(prefix)_\(each.name)", kind, each.help)
            for (labels, root) in roots { sample("\(prefix)_\(each.name)", labels, "\(each.value(root))") }
        }
    }

    /// A histogram, whose buckets count all that is below their bounds.
    private mutating func add(_ latency: ServerFigures.Latency, _ name: String, _ labels: Labels) {
        var count: UInt64 = 0
        for (index, more) in latency.atMostUs.dropLast().enumerated() {
            count &+= more
            sample("\(name)_bucket", labels + [("le", MetricsText.seconds(1 << UInt64(index)))], "\(count)")
        }
        count &+= latency.atMostUs.last ?? 0
        sample("\(name)_bucket", labels + [("le", "+Inf")], "\(count)")
        sample("\(name)_sum", labels, MetricsText.seconds(latency.sumUs))
        sample("\(name)_count", labels, "\(count)")
    }

    private mutating func family(_ name: String, _ kind: Kind, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
    }

    private mutating func sample(_ name: String, _ labels: Labels, _ value: String) {
        let words = labels.map { "\($0.name)=\"\(MetricsText.escaped($0.value))\"" }
        text += name + (words.isEmpty ? "" : "{\(words.joined(separator: ","))}") + " \(value)\n"
    }

    /// Microseconds as seconds, exactly.
    private static func seconds(_ microseconds: UInt64) -> String {
        let fraction = String(microseconds % 1_000_000)
        return "\(microseconds / 1_000_000).\(String(repeating: "0", count: 6 - fraction.count))\(fraction)"
    }

    private static func escaped(_ label: String) -> String {
        var text = ""
        for scalar in label.unicodeScalars {
            switch scalar {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
