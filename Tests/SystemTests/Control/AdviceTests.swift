import TestSupport
import Testing

/// Advice of a real server about its memory.
@Suite struct AdviceTests {
    private static let imageSize = 48 << 20
    private static let reads = 20_000

    /// The miss ratios that are advised, by MiB of memory.
    private func advised(_ control: ControlConnection) throws -> [Int: Double] {
        let answer = try control.ask("advise")
        #expect(answer["ok"] as? Bool == true && answer["memory_bytes"] as? Int == 16 << 20, "\(answer)")
        #expect(answer["dropped_samples"] as? Int == 0)
        let points = try #require((answer["all"] as? [String: Any])?["points"] as? [[String: Int]])
        return Dictionary(
            uniqueKeysWithValues: points.map { point in
                ((point["memory_bytes"] ?? 0) >> 20, Double(point["misses"] ?? -1) / Double(AdviceTests.reads))
            })
    }

    /// Reads base pages, the first ones of a shuffled order much more often than the others (nearly Zipf's law).
    /// - Returns: The miss ratio that the server counts.
    private func load(_ client: Client, _ control: ControlConnection) throws -> Double {
        var random = SplitMix64(seed: 7)
        let pages = AdviceTests.imageSize / 4096
        for _ in 0..<AdviceTests.reads {
            let uniform = Double(random.next() >> 11) / Double(1 << 53 as UInt64)
            let rank = Int(Double(pages) * uniform * uniform * uniform)
            _ = try client.read(4096, at: rank * 5119 % pages * 4096)
        }
        let all = try #require(try control.ask("figures")["all"] as? [String: Any])
        let counters = try #require(all["counters"] as? [String: Any])
        let (hits, misses) = (try #require(counters["hits"] as? Int), try #require(counters["misses"] as? Int))
        #expect(hits + misses == AdviceTests.reads)
        return Double(misses) / Double(hits + misses)
    }

    /// What a server advises about twice and half its memory, servers with these do under the same load.
    @Test func adviceComesTrue() throws {
        let (image, scratch) = (try Image(size: AdviceTests.imageSize), Scratch())
        func serve(_ memory: String, _ body: (Client, ControlConnection) throws -> Void) throws {
            let path = scratch.path("control-\(memory)")
            let server = try Server(image, "memory=\(memory)", "control=\(path)", "readahead=off")
            try body(try Client(server), try ControlConnection(path))
        }
        var points: [Int: Double] = [:]
        try serve("16M") { client, control in
            let missRatio = try load(client, control)
            points = try advised(control)
            let advice = try control.ask("advise")
            let all = try #require(advice["all"] as? [String: Any])
            #expect(all["reads"] as? Int == AdviceTests.reads)
            #expect(try #require(all["samples"] as? Int) > AdviceTests.reads / 64)
            #expect(points.keys.sorted() == [4, 8, 16, 32, 64, 128])
            #expect(abs(try #require(points[16]) - missRatio) < 0.0001, "what has happened is known")
            let images = try #require(advice["images"] as? [[String: Any]])
            #expect(images.count == 1 && images[0]["name"] as? String == image.path)
            #expect(images[0]["reads"] as? Int == AdviceTests.reads)
        }
        for memory in [8, 32] {
            try serve("\(memory)M") { client, control in
                let missRatio = try load(client, control)
                let error = abs(try #require(points[memory]) - missRatio)
                #expect(error < 0.04, "\(memory)M misses \(missRatio), advised was \(points[memory] ?? -1)")
            }
        }
    }

    /// While the memory is limited, advice is still about values of memory=. What little memory misses is not taken for
    /// what all of it would miss.
    @Test func besideALimit() throws {
        let (image, scratch) = (try Image(size: AdviceTests.imageSize), Scratch())
        let path = scratch.path("control")
        let server = try Server(image, "memory=16M", "control=\(path)", "readahead=off")
        let control = try ControlConnection(path)
        #expect(try control.ask("limit 8M")["is_reached"] as? Bool == true)
        let missRatio = try load(try Client(server), control)
        let points = try advised(control)
        let (half, all) = (try #require(points[8]), try #require(points[16]))
        #expect(abs(half - missRatio) < 0.06, "8M misses \(missRatio), advised was \(half)")
        #expect(all < missRatio - 0.05, "16M would miss \(all), and 8M misses \(missRatio)")
    }

    /// With little memory there is no advice, and a sentence says what is enough.
    @Test func littleMemory() throws {
        let (image, scratch) = (try Image(size: 1 << 20), Scratch())
        let server = try Server(image, "memory=1M", "control=\(scratch.path("control"))")
        let answer = try ControlConnection(scratch.path("control")).ask("advise")
        #expect(answer["ok"] as? Bool == false)
        let error = try #require(answer["error"] as? String)
        #expect(error.hasPrefix("memory=1M is too little for advice about it; expected at least "), "\(error)")
        withExtendedLifetime(server) {}
    }
}
