import Testing

@testable import flexpage

/// fio's iologs, as fio 3 writes them (version 3) and as older ones did.
@Suite struct FioTraceTests {
    private static func requests(at times: (Int64?, Int64?) = (nil, nil)) -> [TraceRequest] {
        [
            TraceRequest(.read, image: 0, offset: 61440, length: 4096, time: times.0)!,
            TraceRequest(.write, image: 1, offset: 491520, length: 8192, time: times.1)!,
        ]
    }

    @Test func versionThree() throws {
        let trace = try Trace(lines: [
            "fio version 3 iolog", "28 /img/a add", "229 /img/a open", "234 /img/a read 61440 4096",
            "3776 /img/a trim 774144 4096", "7764 /img/b write 491520 8192", "7790 /img/b datasync 0 0",
            "7798 /img/a close",
        ])
        #expect(trace.requests == FioTraceTests.requests(at: (234, 7764)))
        #expect(trace.hasTimes)
        #expect(trace.leftOut == 2)
        #expect(trace.imageSizes.count == 2)
    }

    @Test func versionTwo() throws {
        let trace = try Trace(lines: [
            "fio version 2 iolog", "/img/a add", "/img/a open", "/img/a read 61440 4096", "/img/a wait 100 0",
            "/img/b write 491520 8192", "/img/a close",
        ])
        #expect(trace.requests == FioTraceTests.requests())
        #expect(!trace.hasTimes)
        #expect(trace.leftOut == 0)
    }

    @Test(arguments: ["28 /img/a", "28 /img/a read 0", "28 /img/a read zero 4096", "28 /img/a copy 0 4096"])
    func badLines(line: String) {
        #expect(
            complaint("fio version 3 iolog", line)
                == ":2: expected [time] file action, or [time] file read|write|trim|sync|datasync|wait offset length, "
                + "found \"\(line)\"")
    }
}
