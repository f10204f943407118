import Glibc
import Interface
import Paging
import SystemPackage

// What the control socket tells and does. Any thread, between `begin` and `end`.
extension Server {
    /// Carries out the order of a line.
    func carryOut(_ line: String) -> ControlAnswer {
        do throws(ControlError) {
            return .done(try carryOut(try ControlOrder(line)))
        } catch {
            return .refused(error)
        }
    }

    private typealias Members = [(name: String, value: JSON)]

    private func carryOut(_ order: ControlOrder) throws(ControlError) -> Members {
        switch order {
        case .figures: return try figures()
        case .flush(let name): return try flush(name)
        case .drop(let name): return try drop(name)
        case .prefetch(let name, let range): return try prefetch(name, range)
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
        var images: [JSON] = []
        // A look at an image that is being closed does no harm. To keep it open could mean to close it, and to wait for
        // its disk.
        for served in serving.openImages { images.append(.object(Server.figures(of: served))) }
        let counters = serving.pages.counters
        return [
            ("version", .text(FLEXPAGE_VERSION)), ("pid", .number(UInt64(getpid()))),
            ("memory", .object(memoryFigures(serving, counters))),
            ("all", .object(Server.figuresOfAll(counters))), ("images", .list(images)),
        ]
    }

    private func memoryFigures(_ serving: Serving, _ counters: Counters) -> Members {
        [
            ("bound_bytes", .number(UInt64(settings.memory))), ("in_use_bytes", .number(counters.bytesInUse)),
            ("peak_bytes", .number(counters.peakBytesInUse)),
            ("pages_bytes", .number(UInt64(serving.pages.frames) * Server.page)),
            ("dirty_bytes", .number(counters.dirtyPages * Server.page)),
            ("known_zero_bytes", .number(counters.knownZeroes * Server.page)),
        ]
    }

    private static let page: UInt64 = 4096

    private static func figures(of served: ServedImage) -> Members {
        let provider = served.provider
        return [
            ("name", .text(served.name)), ("size_bytes", .number(UInt64(provider.size))),
            ("held_bytes", .number(UInt64(provider.heldPages) * page)),
            ("reserved_bytes", .number(UInt64(provider.reservedPages) * page)),
            ("readahead_bytes", .number(UInt64(provider.readahead))),
            ("is_losing", .flag(provider.lost != nil)), ("is_in_trouble", .flag(provider.trouble != nil)),
            ("counters", .object(figures(provider.counters))),
            ("fill_latency", figures(provider.fillLatencies)),
            ("write_out_latency", figures(provider.writeOutLatencies)),
            ("sync_latency", figures(provider.syncLatencies)), ("flush_latency", figures(provider.flushLatencies)),
        ]
    }

    private static func figures(_ latencies: Latencies) -> JSON {
        .object([
            ("count", .number(latencies.count)), ("sum_us", .number(latencies.microseconds)),
            ("at_most_us", .list(latencies.counts.map { .number($0) })),
        ])
    }

    /// What is counted for each image as well as for all.
    private static func figures(_ counters: Counters) -> Members {
        [
            ("hits", .number(counters.hits)), ("misses", .number(counters.misses)),
            ("zero_hits", .number(counters.zeroHits)), ("fills", .number(counters.fills)),
            ("failed_fills", .number(counters.failedFills)), ("recycles", .number(counters.recycles)),
            ("writes", .number(counters.writes)), ("written_bytes", .number(counters.pagesWritten * page)),
            ("failed_writes", .number(counters.failedWrites)), ("dirty_bytes", .number(counters.dirtyPages * page)),
            ("allowed_dirty_bytes", .number(counters.allowedDirtyPages * page)),
        ]
    }

    private static func figuresOfAll(_ counters: Counters) -> Members {
        [
            ("counters", .object(figures(counters))),
            ("moves", .number(counters.moves)), ("waits", .number(counters.waits)),
            ("dirty_waits", .number(counters.dirtyWaits)),
        ]
    }

    // MARK: - Orders

    private func flush(_ name: String?) throws(ControlError) -> Members {
        if let name {
            return try with(name) { client throws(ControlError) in
                if let failure = Server.failure(ofFlushing: client.served) { throw failure }
                return []
            }
        }
        var failures: [String] = []
        try running().visitEach { served in
            if let failure = Server.failure(ofFlushing: served) { failures.append(failure.text) }
        }
        guard failures.isEmpty else { throw ControlError(failures.joined(separator: "; ")) }
        return []
    }

    private static func failure(ofFlushing served: ServedImage) -> ControlError? {
        guard served.image.isWritable else { return nil }
        do throws(AccessError) {
            try served.provider.flush()
            return nil
        } catch {
            return ControlError("\(served.label): the flush has failed: \(Errno(rawValue: error.code))")
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
    private func prefetch(_ name: String, _ range: Range<Int64>) throws(ControlError) -> Members {
        let isInUse = try running().openImages.contains { $0.name == name }
        return try with(name, locking: !isInUse) { client throws(ControlError) in
            let size = client.pager.provider.size
            let end = min(range.upperBound, size)
            guard range.lowerBound < size || range.isEmpty else {
                throw ControlError("offset \(range.lowerBound): the image has \(size) bytes")
            }
            var offset = range.lowerBound
            while offset < end {
                let next = min(end, offset + 1 << 20)
                do throws(AccessError) {
                    try client.pager.populate(offset..<next)
                } catch {
                    throw ControlError(
                        "\(client.served.label): cannot be read at \(offset): \(Errno(rawValue: error.code))")
                }
                offset = next
            }
            if !isInUse { usleep(Server.settling) }
            return [("prefetched_bytes", .number(UInt64(max(0, end - range.lowerBound))))]
        }
    }

    /// Microseconds after which it is certain that what was read of an image is still good for its first client.
    private static let settling: UInt32 = 50_000

    /// Calls `body` as a client of the export.
    /// - Parameter locking: Keep others from changing the image meanwhile, if possible. What is read without the lock
    ///   is dropped when the first client comes that may write.
    private func with<Result>(
        _ name: String, locking: Bool = false, _ body: (Client) throws(ControlError) -> Result
    ) throws(ControlError) -> Result {
        let client: Client
        if locking, let writer = try? connect(to: name, isReadOnly: false).client {
            client = writer
        } else {
            do throws(ConfigurationError) {
                client = try connect(to: name, isReadOnly: true).client
            } catch {
                throw ControlError(error.text)
            }
        }
        defer { client.leave() }
        return try body(client)
    }

    private func running() throws(ControlError) -> Serving {
        guard let serving else { throw ControlError("the server is ending") }
        return serving
    }
}
