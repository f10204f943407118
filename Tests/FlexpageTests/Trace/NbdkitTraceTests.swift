import Testing

@testable import flexpage

/// What nbdkit's log filter writes (1.32).
@Suite struct NbdkitTraceTests {
    private static let time = "2026-11-23 06:01:54.823624"

    @Test func requestsOfConnections() throws {
        let lines = [
            "Ready thread_model=3", "Fork", "Preconnect id=1 readonly=0 ...", "...Preconnect id=1 return=0",
            "connection=1 Connect export=\"a b\" tls=0 size=0x100000 minsize=0x0 write=1",
            "connection=2 Connect export=\"\" tls=0 size=0x100000 minsize=0x0 write=1",
            "connection=1 Read id=1 offset=0x1000 count=0x2000 ...", "connection=1 ...Read id=1 return=0",
            "connection=2 Write id=1 offset=0x400 count=0x200 fua=1 ...", "connection=2 ...Write id=1 return=0",
            "connection=1 Flush id=3 ...", "connection=1 Trim id=4 offset=0x0 count=0x1000 fua=0 ...",
            "connection=1 Extents id=5 offset=0x0 count=0x100000 req_one=0 ...",
            "connection=1 ...Extents id=5 extents=(0x0 0x100000 \"hole,zero\") return=0",
            "connection=3 Connect export=\"a b\" tls=0 size=0x100000 minsize=0x0 write=1",
            "connection=3 Read id=1 offset=0x0 count=0x1000 ...", "connection=1 Disconnect transactions=6",
        ]
        let trace = try Trace(named: "nbdkit.log", lines: lines.map { "\(NbdkitTraceTests.time) \($0)" })
        let time = try #require(trace.requests.first?.time)
        #expect(
            trace.requests == [
                TraceRequest(.read, image: 0, offset: 4096, length: 8192, time: time)!,
                TraceRequest(.write, image: 1, offset: 1024, length: 512, time: time)!,
                TraceRequest(.read, image: 0, offset: 0, length: 4096, time: time)!,
            ])
        #expect(trace.leftOut == 3)
    }

    /// Times are microseconds, over the ends of days, months and leap years as well.
    @Test(arguments: [
        ("2026-11-23 06:01:54.823624", "2026-11-23 06:01:56.000000", 1_176_376),
        ("2026-12-31 23:59:59.999999", "2027-01-01 00:00:00.000001", 2),
        ("2028-02-28 12:00:00.000000", "2028-03-01 12:00:00.000000", 2 * 86_400_000_000),
        ("2027-02-28 12:00:00.000000", "2027-03-01 12:00:00.000000", 86_400_000_000),
    ])
    func timesAreMicroseconds(first: String, second: String, microseconds: Int64) throws {
        let request = "connection=1 Read id=1 offset=0x0 count=0x1000 ..."
        let times = try Trace(named: "log", lines: [first, second].map { "\($0) \(request)" }).requests.map(\.time)
        let (begin, end) = (try #require(times[0]), try #require(times[1]))
        #expect(end - begin == microseconds)
    }

    @Test(arguments: ["connection=1 Read id=1 offset=0x0", "connection=1 Write id=1 offset=nought count=0x1"])
    func badLines(line: String) {
        let first = "\(NbdkitTraceTests.time) Fork"
        #expect(
            complaint(first, "\(NbdkitTraceTests.time) \(line)", name: "log")?.hasPrefix(":2: expected date time")
                == true
        )
        #expect(complaint(first, "truncated", name: "log")?.hasPrefix(":2: expected date time") == true)
    }
}
