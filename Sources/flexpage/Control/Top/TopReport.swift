/// What a server has done between two looks at its figures, and what it has in memory: rates, and how long calls took.
///
/// An image that was opened anew meanwhile counts from 0, and so does a server that was restarted.
struct TopReport: Encodable, Equatable {
    struct Memory: Encodable, Equatable {
        /// The value of `memory=`, and what of it the server has: less if `limit` has set less.
        let boundBytes, heldBytes: UInt64
        /// What it has consists of: bytes of tables, and of pages.
        let tableBytes, cleanBytes, dirtyBytes, freeBytes: UInt64
        /// Bytes that are known to be zeroes. They take no memory.
        let knownZeroBytes: UInt64
    }

    /// A second, but for the ratio.
    struct Rates: Encodable, Equatable {
        /// The share of the pages that clients wanted and the image was not read for; nil if they wanted none.
        let hitRatio: Double?
        /// By clients.
        let readBytes: Double
        /// From images and to images.
        let filledBytes, fills, writtenBytes, writes: Double
        let prefetchedBytes, prefetchedInVainBytes: Double
        let errors: Double
    }

    /// How long calls took, microseconds: bounds, each at most twice the time. Nil if there were none.
    struct Times: Encodable, Equatable {
        let p50Us, p99Us: UInt64?
    }

    struct Image: Encodable, Equatable {
        let name: String
        let sizeBytes, heldBytes, reservedBytes, dirtyBytes, dirtyAgeMs: UInt64
        let isInTrouble, isLosing: Bool
        let rates: Rates
        let fillTimes, writeOutTimes, syncTimes, flushTimes: Times
    }

    let version: String
    let pid: Int
    /// Between the looks.
    let seconds: Double
    let memory: Memory
    let all: Rates
    let images: [Image]

    /// - Parameter seconds: Between the two, more than 0.
    init(from before: ServerFigures, to now: ServerFigures, seconds: Double, by order: TopOrder) {
        precondition(seconds > 0, "a rate needs some time")
        version = now.version
        pid = now.pid
        self.seconds = seconds
        let isSame = before.pid == now.pid
        memory = Memory(now.memory)
        all = Rates(from: isSame ? before.all.counters : nil, to: now.all.counters, seconds)
        let earlier = Dictionary(zip(before.labels, before.images), uniquingKeysWith: { first, _ in first })
        images = zip(now.labels, now.images).map { Image($0, from: isSame ? earlier[$0] : nil, to: $1, seconds) }
            .sorted(by: order.isBefore)
    }
}

extension TopReport.Memory {
    fileprivate init(_ figures: ServerFigures.Memory) {
        (boundBytes, heldBytes) = (figures.boundBytes, figures.heldBytes)
        tableBytes = figures.boundBytes - min(figures.boundBytes, figures.pagesBytes)
        let used = min(figures.pagesBytes, figures.inUseBytes - min(figures.inUseBytes, tableBytes))
        dirtyBytes = min(used, figures.dirtyBytes)
        cleanBytes = used - dirtyBytes
        freeBytes = heldBytes - min(heldBytes, tableBytes + used)
        knownZeroBytes = figures.knownZeroBytes
    }
}

extension TopReport.Rates {
    fileprivate init(from before: ServerFigures.Counters?, to now: ServerFigures.Counters, _ seconds: Double) {
        func count(_ figure: KeyPath<ServerFigures.Counters, UInt64>) -> Double {
            Double(increase(from: before?[keyPath: figure] ?? 0, to: now[keyPath: figure]))
        }
        let (hits, misses) = (count(\.hits) + count(\.zeroHits), count(\.misses))
        hitRatio = hits + misses == 0 ? nil : hits / (hits + misses)
        readBytes = (hits + misses) * 4096 / seconds
        filledBytes = count(\.filledBytes) / seconds
        fills = count(\.fills) / seconds
        writtenBytes = count(\.writtenBytes) / seconds
        writes = count(\.writes) / seconds
        prefetchedBytes = count(\.prefetchedBytes) / seconds
        prefetchedInVainBytes = count(\.prefetchedInVainBytes) / seconds
        errors = (count(\.failedFills) + count(\.failedWrites) + count(\.failedSyncs)) / seconds
    }
}

extension TopReport.Times {
    /// Half of the calls, and 99 of 100, took at most so long.
    fileprivate init(from before: ServerFigures.Latency?, to now: ServerFigures.Latency) {
        let isSame = before?.atMostUs.count == now.atMostUs.count
        let counts = now.atMostUs.enumerated().map { index, count in
            increase(from: isSame ? before!.atMostUs[index] : 0, to: count)
        }
        let all = counts.reduce(0, &+)
        p50Us = Self.bound(of: (all + 1) / 2, in: counts)
        p99Us = Self.bound(of: all - all / 100, in: counts)
    }

    /// What the first `calls` calls took at most. The last count has no bound, and gets twice that of the one before.
    private static func bound(of calls: UInt64, in counts: [UInt64]) -> UInt64? {
        guard calls > 0 else { return nil }
        var sum: UInt64 = 0
        for (index, count) in counts.enumerated() {
            sum &+= count
            if sum >= calls { return 1 << UInt64(index) }
        }
        return nil
    }
}

extension TopReport.Image {
    fileprivate init(
        _ label: String, from before: ServerFigures.Image?, to now: ServerFigures.Image, _ seconds: Double
    ) {
        name = label
        (sizeBytes, heldBytes, reservedBytes) = (now.sizeBytes, now.heldBytes, now.reservedBytes)
        (dirtyBytes, dirtyAgeMs) = (now.counters.dirtyBytes, now.dirtyAgeMs)
        (isInTrouble, isLosing) = (now.isInTrouble, now.isLosing)
        rates = TopReport.Rates(from: before?.counters, to: now.counters, seconds)
        fillTimes = TopReport.Times(from: before?.fillLatency, to: now.fillLatency)
        writeOutTimes = TopReport.Times(from: before?.writeOutLatency, to: now.writeOutLatency)
        syncTimes = TopReport.Times(from: before?.syncLatency, to: now.syncLatency)
        flushTimes = TopReport.Times(from: before?.flushLatency, to: now.flushLatency)
    }
}

/// By how much a counter has grown; if it has begun anew, its value.
private func increase(from before: UInt64, to now: UInt64) -> UInt64 { now >= before ? now - before : now }
