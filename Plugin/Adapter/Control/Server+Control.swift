import Glibc
import Interface
import Paging
import SystemPackage

// What the control socket tells and does. Any thread, between `begin` and `end`.
extension Server {
    /// Carries out the order of a line. What a disk holds up is left when the client has gone.
    func carryOut(_ line: String, for client: ControlClient) -> ControlAnswer {
        do throws(ControlError) {
            let order = try ControlOrder(line)
            if order == .figures { return .done(try figures()) }
            if order == .advise { return .done(try advice()) }
            guard orders.begin() else {
                throw ControlError("\(ControlOrders.max) orders are under way already; one of them may wait for a disk")
            }
            var flushes: FinalFlushes?
            defer { orders.end(leaving: flushes) }
            return .done(try carryOut(order, client, leaving: &flushes))
        } catch {
            return .refused(error)
        }
    }

    typealias Members = [(name: String, value: JSON)]

    /// - Parameter flushes: Set to flushes that may be running when this ends.
    private func carryOut(
        _ order: ControlOrder, _ client: ControlClient, leaving flushes: inout FinalFlushes?
    ) throws(ControlError) -> Members {
        switch order {
        case .figures: return try figures()
        case .advise: return try advice()
        case .flush(nil): return try flushAll(client, leaving: &flushes)
        case .flush(let name?): return try flush(name)
        case .drop(let name): return try drop(name)
        case .resident(let name): return try resident(name)
        case .prefetch(let name, let range): return try prefetch(name, range, client)
        case .limit(let bytes): return try limit(bytes, client)
        case .readahead(let name, let bytes):
            return try with(name) { client in
                client.pager.provider.readahead = bytes
                return [("readahead_bytes", .number(UInt64(client.pager.provider.readahead)))]
            }
        }
    }

    // MARK: - Figures

    private func figures() throws(ControlError) -> Members {
        let serving = try running()
        // A look at an image that is being closed does no harm. To keep it open could mean to close it, and to wait for
        // its disk.
        let images = serving.openImages
        let counters = serving.pages.counters
        return [
            ("version", .text(FLEXPAGE_VERSION)), ("pid", .number(UInt64(getpid()))),
            ("memory", .object(memoryFigures(serving, counters))),
            ("all", .object(Server.figures(of: serving.pages, counters, images))),
            ("images", .list(images.map { .object(Server.figures(of: $0)) })),
        ]
    }

    private func memoryFigures(_ serving: Serving, _ counters: Counters) -> Members {
        let limit = serving.limit.progress
        return [
            ("bound_bytes", .number(UInt64(settings.memory))),
            ("limit_bytes", .number(UInt64(limit.limit))), ("held_bytes", .number(UInt64(limit.held))),
            ("in_use_bytes", .number(counters.bytesInUse)),
            ("peak_bytes", .number(counters.peakBytesInUse)),
            ("pages_bytes", .number(UInt64(serving.pages.frames) * Server.page)),
            ("dirty_bytes", .number(counters.dirtyPages * Server.page)),
            ("known_zero_bytes", .number(counters.knownZeroes * Server.page)),
        ]
    }

    private static let page: UInt64 = 4096

    private static func figures(of served: ServedImage) -> Members {
        let provider = served.provider
        let (syncs, flushes) = (provider.syncLatencies, provider.flushLatencies)
        return [
            ("name", .text(served.name)), ("size_bytes", .number(UInt64(provider.size))),
            ("held_bytes", .number(UInt64(provider.heldPages) * page)),
            ("reserved_bytes", .number(UInt64(provider.reservedPages) * page)),
            ("readahead_bytes", .number(UInt64(provider.readahead))),
            ("dirty_age_ms", .number(UInt64(provider.dirtyAge))),
            ("is_losing", .flag(provider.lost != nil)), ("is_in_trouble", .flag(provider.trouble != nil)),
            ("counters", .object(figures(provider.counters, syncs, flushes))),
            ("fill_latency", figures(provider.fillLatencies)),
            ("write_out_latency", figures(provider.writeOutLatencies)),
            ("sync_latency", figures(syncs)), ("flush_latency", figures(flushes)),
        ]
    }

    private static func figures(_ latencies: Latencies) -> JSON {
        .object([
            ("count", .number(latencies.count)), ("sum_us", .number(latencies.microseconds)),
            ("at_most_us", .numbers(latencies.counts)),
        ])
    }

    /// What is counted for each image as well as for all.
    private static func figures(_ counters: Counters, _ syncs: Latencies, _ flushes: Latencies) -> Members {
        [
            ("hits", .number(counters.hits)), ("misses", .number(counters.misses)),
            ("zero_hits", .number(counters.zeroHits)), ("fills", .number(counters.fills)),
            ("filled_bytes", .number(counters.pagesFilled * page)),
            ("prefetched_bytes", .number(counters.pagesReadAhead * page)),
            ("prefetched_in_vain_bytes", .number(counters.pagesReadAheadInVain * page)),
            ("failed_fills", .number(counters.failedFills)), ("recycles", .number(counters.recycles)),
            ("writes", .number(counters.writes)), ("written_bytes", .number(counters.pagesWritten * page)),
            ("failed_writes", .number(counters.failedWrites)), ("failed_syncs", .number(syncs.failures)),
            ("failed_flushes", .number(flushes.failures)), ("waits", .number(counters.waits)),
            ("dirty_bytes", .number(counters.dirtyPages * page)),
            ("allowed_dirty_bytes", .number(counters.allowedDirtyPages * page)),
        ]
    }

    private static func figures(of pages: Pages, _ counters: Counters, _ images: [ServedImage]) -> Members {
        let (syncs, flushes) = (pages.syncLatencies, pages.flushLatencies)
        return [
            ("counters", .object(figures(counters, syncs, flushes))),
            ("dirty_age_ms", .number(UInt64(images.map(\.provider.dirtyAge).max() ?? 0))),
            ("moves", .number(counters.moves)), ("dirty_waits", .number(counters.dirtyWaits)),
            ("fill_latency", figures(pages.fillLatencies)), ("write_out_latency", figures(pages.writeOutLatencies)),
            ("sync_latency", figures(syncs)), ("flush_latency", figures(flushes)),
        ]
    }

    // MARK: - Orders

    private func flushAll(
        _ client: ControlClient, leaving flushes: inout FinalFlushes?
    ) throws(ControlError) -> Members {
        let flushed = try running().flushAll { client.isGone }
        flushes = flushed.flushes
        guard flushed.failures.isEmpty else { throw ControlError(flushed.failures.joined(separator: "; ")) }
        return []
    }

    private func flush(_ name: String) throws(ControlError) -> Members {
        try with(name) { client throws(ControlError) in
            let served = client.served
            guard served.image.isWritable else { return [] }
            do throws(AccessError) {
                try served.provider.flush()
                return []
            } catch {
                throw ControlError("\(served.label): the flush has failed: \(Errno(rawValue: error.code))")
            }
        }
    }

    private func drop(_ name: String?) throws(ControlError) -> Members {
        var pages = 0
        if let name {
            pages = try with(name) { client in client.pager.provider.dropClean() }
        } else {
            let serving = try running()
            serving.forgetResting()
            serving.visitEach { pages += $0.provider.dropClean() }
        }
        return [("dropped_bytes", .number(UInt64(pages) * Server.page))]
    }

    /// Reads what is missing of the range, in steps, so that it takes no more memory at a time than a client's request.
    private func prefetch(
        _ name: String, _ range: Range<Int64>, _ asking: ControlClient
    ) throws(ControlError) -> Members {
        try with(name) { client throws(ControlError) in
            let size = client.pager.provider.size
            let end = min(range.upperBound, size)
            guard range.lowerBound < size || range.isEmpty else {
                throw ControlError("offset \(range.lowerBound): the image has \(size) bytes")
            }
            var offset = range.lowerBound
            while offset < end {
                guard !asking.isGone else { throw ControlError("nobody waits for the answer") }
                let next = min(end, offset + 1 << 20)
                do throws(AccessError) {
                    try client.pager.populate(offset..<next)
                } catch {
                    throw ControlError(
                        "\(client.served.label): cannot be read at \(offset): \(Errno(rawValue: error.code))")
                }
                offset = next
            }
            return [("prefetched_bytes", .number(UInt64(max(0, end - range.lowerBound))))]
        }
    }

    /// Calls `body` as a client of the export that only reads: it hinders no other program. As with any client, what is
    /// cached is dropped if others have changed the image.
    func with<Result>(
        _ name: String, _ body: (Client) throws(ControlError) -> Result
    ) throws(ControlError) -> Result {
        guard source?.isOpenedForClients ?? true else {
            throw ControlError("no client has connected yet; the first one says how the layer below is opened")
        }
        let client: Client
        do throws(ConfigurationError) {
            client = try connect(to: name, isReadOnly: true).client
        } catch {
            throw ControlError(error.text)
        }
        defer { client.leave() }
        return try body(client)
    }

    func running() throws(ControlError) -> Serving {
        guard let serving else { throw ControlError("the server is ending") }
        return serving
    }
}
