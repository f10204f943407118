import TestSupport
import Testing

/// Advice of a real server about its memory.
@Suite struct AdviceTests {
    private static let imageSize = 48 << 20
    private static let reads = 20_000

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
        var advised: [Int: Double] = [:]
        try serve("16M") { client, control in
            let missRatio = try load(client, control)
            let advice = try control.ask("advise")
            #expect(advice["ok"] as? Bool == true && advice["memory_bytes"] as? Int == 16 << 20, "\(advice)")
            #expect(advice["dropped_samples"] as? Int == 0)
            let all = try #require(advice["all"] as? [String: Any])
            #expect(all["reads"] as? Int == AdviceTests.reads)
            #expect(try #require(all["samples"] as? Int) > AdviceTests.reads / 64)
            for case let point as [String: Int] in try #require(all["points"] as? [Any]) {
                advised[try #require(point["memory_bytes"]) >> 20] =
                    Double(try #require(point["misses"])) / Double(AdviceTests.reads)
            }
            #expect(advised.keys.sorted() == [4, 8, 16, 32, 64, 128])
            #expect(abs(try #require(advised[16]) - missRatio) < 0.0001, "what has happened is known")
            let images = try #require(advice["images"] as? [[String: Any]])
            #expect(images.count == 1 && images[0]["name"] as? String == image.path)
            #expect(images[0]["reads"] as? Int == AdviceTests.reads)
        }
        for memory in [8, 32] {
            try serve("\(memory)M") { client, control in
                let missRatio = try load(client, control)
                let error = abs(try #require(advised[memory]) - missRatio)
                #expect(error < 0.04, "\(memory)M misses \(missRatio), advised was \(advised[memory] ?? -1)")
            }
        }
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
