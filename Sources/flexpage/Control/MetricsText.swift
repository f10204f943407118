/// A server's figures in Prometheus' text format, version 0.0.4.
///
/// Names and units follow Prometheus' conventions: base units (bytes, seconds), `_total` for what only grows, `_info`
/// for what is text. Of an image, the label `export` is its name. An image's counters begin anew when it is opened
/// anew; those without the label do not.
struct MetricsText {
    private(set) var text = ""

    private typealias Counters = ServerFigures.Counters
    private typealias Image = ServerFigures.Image

    private enum Kind: String { case counter, gauge, histogram }

    /// What is counted for each image as well as for all: the end of the name, what it means, and where it is.
    private static let counters: [(name: String, help: String, value: KeyPath<Counters, UInt64> & Sendable)] = [
        ("hits_total", "Pages of 4096 bytes that were in memory when a client wanted them.", \.hits),
        ("misses_total", "Pages of 4096 bytes that had to be read for a client.", \.misses),
        ("zero_hits_total", "Pages of 4096 bytes that were known to be zeroes.", \.zeroHits),
        ("fills_total", "Reads of images that succeeded.", \.fills),
        ("failed_fills_total", "Reads of images that failed.", \.failedFills),
        ("recycles_total", "Pieces of images whose memory was taken for others.", \.recycles),
        ("writes_total", "Writes to images that succeeded.", \.writes),
        ("written_bytes_total", "Bytes written to images.", \.writtenBytes),
        ("failed_writes_total", "Writes to images that failed.", \.failedWrites),
    ]

    private static let totals: [(name: String, help: String, value: KeyPath<ServerFigures.All, UInt64> & Sendable)] = [
        ("moves_total", "Pages of 4096 bytes moved in memory to make room for a large piece.", \.moves),
        ("waits_total", "Times that a request waited for another one's page.", \.waits),
        ("dirty_waits_total", "Times that a writer waited because of dirty= or flush-time=.", \.dirtyWaits),
    ]

    private static let memory: [(name: String, help: String, value: KeyPath<ServerFigures.Memory, UInt64> & Sendable)] =
        [
            ("bound_bytes", "The value of memory=.", \.boundBytes),
            ("in_use_bytes", "Bytes that cached pages and their tables take.", \.inUseBytes),
            ("peak_bytes", "The maximum of flexpage_memory_in_use_bytes.", \.peakBytes),
            ("pages_bytes", "Bytes that there are for cached pages, without their tables.", \.pagesBytes),
            ("dirty_bytes", "Bytes that are newer than the images.", \.dirtyBytes),
            ("known_zero_bytes", "Bytes that are known to be zeroes and take no memory.", \.knownZeroBytes),
        ]

    private static let gauges: [(name: String, help: String, value: KeyPath<Image, UInt64> & Sendable)] = [
        ("size_bytes", "Bytes in the image.", \.sizeBytes),
        ("held_bytes", "Bytes of the image in memory.", \.heldBytes),
        ("reserved_bytes", "Memory that is reserved for the image.", \.reservedBytes),
        ("readahead_bytes", "The maximum readahead for a sequential reader.", \.readaheadBytes),
        ("dirty_bytes", "Bytes that are newer than the image.", \.counters.dirtyBytes),
        ("allowed_dirty_bytes", "Dirty bytes at which writers wait.", \.counters.allowedDirtyBytes),
    ]

    private static let states: [(name: String, help: String, value: KeyPath<Image, Bool> & Sendable)] = [
        ("in_trouble", "1 if data of the image cannot be written out or synced at present.", \.isInTrouble),
        ("losing", "1 if a failed sync has lost data of the image.", \.isLosing),
    ]

    private static let latencies:
        [(name: String, help: String, value: KeyPath<Image, ServerFigures.Latency> & Sendable)] = [
            ("fill_seconds", "How long reads of the image took.", \.fillLatency),
            ("write_out_seconds", "How long write-outs took.", \.writeOutLatency),
            ("sync_seconds", "How long syncs took.", \.syncLatency),
            ("flush_seconds", "How long flushes of clients took.", \.flushLatency),
        ]

    init(_ figures: ServerFigures) {
        family("flexpage_info", .gauge, "A Flexpage server; its version is a label.")
        sample("flexpage_info", [("version", figures.version)], "1")
        for each in MetricsText.memory {
            family("flexpage_memory_\(each.name)", .gauge, each.help)
            sample("flexpage_memory_\(each.name)", [], "\(figures.memory[keyPath: each.value])")
        }
        for each in MetricsText.counters {
            family("flexpage_\(each.name)", .counter, each.help)
            sample("flexpage_\(each.name)", [], "\(figures.all.counters[keyPath: each.value])")
        }
        for each in MetricsText.totals {
            family("flexpage_\(each.name)", .counter, each.help)
            sample("flexpage_\(each.name)", [], "\(figures.all[keyPath: each.value])")
        }
        add(figures.images)
    }

    private mutating func add(_ images: [Image]) {
        // A family without samples says nothing.
        guard !images.isEmpty else { return }
        for each in MetricsText.counters {
            add("flexpage_image_\(each.name)", .counter, each.help, images) { "\($0.counters[keyPath: each.value])" }
        }
        for each in MetricsText.gauges {
            add("flexpage_image_\(each.name)", .gauge, each.help, images) { "\($0[keyPath: each.value])" }
        }
        for each in MetricsText.states {
            add("flexpage_image_\(each.name)", .gauge, each.help, images) { $0[keyPath: each.value] ? "1" : "0" }
        }
        for each in MetricsText.latencies {
            family("flexpage_image_\(each.name)", .histogram, each.help)
            for image in images { add(image[keyPath: each.value], "flexpage_image_\(each.name)", image) }
        }
    }

    private mutating func add(
        _ name: String, _ kind: Kind, _ help: String, _ images: [Image], _ value: (Image) -> String
    ) {
        family(name, kind, help)
        for image in images { sample(name, [("export", image.name)], value(image)) }
    }

    /// A histogram, whose buckets count all that is below their bounds.
    private mutating func add(_ latency: ServerFigures.Latency, _ name: String, _ image: Image) {
        var count: UInt64 = 0
        for (index, more) in latency.atMostUs.dropLast().enumerated() {
            count += more
            sample(
                "\(name)_bucket", [("export", image.name), ("le", MetricsText.seconds(1 << UInt64(index)))], "\(count)")
        }
        count += latency.atMostUs.last ?? 0
        sample("\(name)_bucket", [("export", image.name), ("le", "+Inf")], "\(count)")
        sample("\(name)_sum", [("export", image.name)], MetricsText.seconds(latency.sumUs))
        sample("\(name)_count", [("export", image.name)], "\(count)")
    }

    private mutating func family(_ name: String, _ kind: Kind, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
    }

    private mutating func sample(_ name: String, _ labels: [(name: String, value: String)], _ value: String) {
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
