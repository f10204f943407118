import Testing

@testable import flexpage

/// What `flexpage metrics` makes of a server's figures, and how it answers HTTP.
@Suite struct MetricsTextTests {
    /// Each sample has its place: totals without a label, an image's with its name, exact seconds.
    @Test func samples() throws {
        let lines = MetricsText(try SampleFigures(["a.img"]).figures()).text.split(separator: "\n").map(String.init)
        for line in [
            #"flexpage_info{version="0.2.0"} 1"#, "flexpage_memory_peak_bytes 3", "flexpage_memory_limit_bytes 7",
            "flexpage_memory_held_bytes 8", "flexpage_hits_total 1",
            "flexpage_waits_total 17", #"flexpage_image_waits_total{export="a.img"} 17"#,
            #"flexpage_image_failed_syncs_total{export="a.img"} 15"#, "flexpage_dirty_age_seconds 0.015000",
            #"flexpage_flush_seconds_bucket{le="0.000002"} 3"#, "flexpage_fill_seconds_count 6",
            "flexpage_dirty_waits_total 14", #"flexpage_image_written_bytes_total{export="a.img"} 8"#,
            #"flexpage_image_dirty_age_seconds{export="a.img"} 0.005000"#, "flexpage_prefetched_in_vain_bytes_total 14",
            #"flexpage_image_in_trouble{export="a.img"} 1"#, #"flexpage_image_losing{export="a.img"} 0"#,
            #"flexpage_image_sync_seconds_bucket{export="a.img",le="0.000001"} 1"#,
            #"flexpage_image_sync_seconds_bucket{export="a.img",le="0.000002"} 3"#,
            #"flexpage_image_sync_seconds_bucket{export="a.img",le="67.108864"} 3"#,
            #"flexpage_image_sync_seconds_bucket{export="a.img",le="+Inf"} 6"#,
            #"flexpage_image_sync_seconds_sum{export="a.img"} 12.345678"#,
            #"flexpage_image_sync_seconds_count{export="a.img"} 6"#,
        ] {
            #expect(lines.contains(line), "\(line)")
        }
        #expect(Set(lines).count == lines.count, "no line comes twice")
    }

    /// Each sample follows the type of its family.
    @Test func families() throws {
        var family = ""
        for line in MetricsText(try SampleFigures(["a.img"]).figures()).text.split(separator: "\n") {
            if line.hasPrefix("# TYPE ") { family = String(line.split(separator: " ")[2]) }
            if line.hasPrefix("#") { continue }
            #expect(line.hasPrefix(family), "\(line)")
        }
    }

    /// Any name is a label, and an image less is a family less.
    @Test func names() throws {
        let text = MetricsText(try SampleFigures([#"a\"b\\c\nd"#]).figures()).text
        #expect(text.contains(#"{export="a\"b\\c\nd"}"#))
        #expect(!MetricsText(try SampleFigures([]).figures()).text.contains("flexpage_image"))
    }

    /// Two images of one name are two series: a file was replaced while a client had it open.
    @Test func equalNames() throws {
        let lines = MetricsText(try SampleFigures(["a", "b", "a"]).figures()).text.split(separator: "\n")
        #expect(lines.contains(#"flexpage_image_hits_total{export="a"} 1"#))
        #expect(lines.contains(#"flexpage_image_hits_total{export="a (2)"} 1"#))
        #expect(Set(lines).count == lines.count, "no series comes twice")
        #expect(try SampleFigures(["a (2)", "a", "a", "a"]).figures().labels == ["a (2)", "a", "a (3)", "a (4)"])
    }

    /// Who asks for something else is told so.
    @Test(arguments: [
        ("GET /metrics HTTP/1.1", "200 OK"), ("GET /metrics?x=1 HTTP/1.0", "200 OK"),
        ("GET / HTTP/1.1", "404 Not Found"),
        ("POST /metrics HTTP/1.1", "405 Method Not Allowed"), ("GET /metrics", "400 Bad Request"),
        ("nonsense", "400 Bad Request"), ("", "400 Bad Request"),
    ])
    func requests(_ request: String, _ status: String) {
        let answer = MetricsListener.answer(to: request) { () throws(ToolFailure) in "figures\n" }
        #expect(answer.hasPrefix("HTTP/1.1 \(status)\r\n"))
        #expect(answer.contains("\r\nContent-Length: \(answer.split(separator: "\r\n\r\n")[1].utf8.count)\r\n"))
    }

    /// A server that has gone is no reason to end.
    @Test func noServer() {
        let answer = MetricsListener.answer(to: "GET /metrics HTTP/1.1") { () throws(ToolFailure) in
            throw ToolFailure("gone")
        }
        #expect(answer.hasPrefix("HTTP/1.1 503 Service Unavailable\r\n") && answer.hasSuffix("\r\n\r\ngone\n"))
    }
}
