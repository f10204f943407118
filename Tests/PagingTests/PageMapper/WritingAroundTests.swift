import Glibc
import Testing

@testable import Paging

/// Writes that begin or end inside a missing page go around the memory.
@Suite struct WritingAroundTests {
    private static let memory = 4 << 20
    /// From inside page 1 to inside page 5.
    private static let wide: Range<Int64> = 4096 + 512..<6 * 4096 - 1024
    private static let part: Range<Int64> = 2 * 4096 + 512..<2 * 4096 + 1024

    /// Bytes that tell places apart, none of which the image has at first.
    private static func some(_ range: Range<Int64>, salt: Int = 0) -> [UInt8] {
        range.map { UInt8((Int($0) * 7 + Int($0) / 512 + salt) % 199 + 1) }
    }

    private func rig(_ image: PartsImage = PartsImage()) throws -> PartsRig {
        try PartsRig(memory: Self.memory, image: image)
    }

    // MARK: - What goes around

    /// A part of a missing page goes to the image and nothing is read. A reader finds it between older bytes.
    @Test(arguments: [0, 512, 3584] as [Int64], [512, 1024, 2048] as [Int64])
    func aPart(begin: Int64, count: Int64) throws {
        let rig = try rig()
        let range = 8192 + begin..<8192 + begin + count
        try rig.write(Self.some(range), at: range.lowerBound)
        let pages = BasePage.numbers(covering: range)
        #expect(rig.image.calls == [.parts(range)])
        #expect(rig.resident.isEmpty && rig.pages.dirtyLimit.pages == 0)
        #expect(rig.pages.counters.writes == 1 && rig.pages.counters.pagesWritten == UInt64(pages.count))
        #expect(try rig.holds([(range.lowerBound, Self.some(range))]))
        try rig.end()
    }

    /// A write over five pages that begins and ends inside pages is one write. The whole pages stay in memory, clean.
    /// The ends do not.
    @Test func theWholePagesStay() throws {
        let rig = try rig()
        try rig.write(Self.some(Self.wide), at: Self.wide.lowerBound)
        #expect(rig.image.calls == [.parts(Self.wide)])
        #expect(rig.resident == [2, 3, 4] && rig.pages.dirtyLimit.pages == 0)
        #expect(rig.pages.counters.writes == 1 && rig.pages.counters.pagesWritten == 5)
        #expect(rig.provider.counters.writes == 1 && rig.provider.counters.pagesWritten == 5)
        #expect(rig.pages.counters.fills == 0 && rig.pages.counters.misses == 0)
        #expect(try rig.bytes(8192..<20480) == Self.some(8192..<20480))
        #expect(rig.image.calls.count == 1, "whole pages are in memory")
        #expect(try rig.holds([(Self.wide.lowerBound, Self.some(Self.wide))]))
        try rig.end()
    }

    /// Whole pages that a write begins with are dirty in memory, and the part behind them goes around.
    @Test func onlyTheEndIsAPart() throws {
        let rig = try rig()
        let range: Range<Int64> = 8192..<5 * 4096 + 512
        try rig.write(Self.some(range), at: 8192)
        let end: Range<Int64> = 20480..<20992
        #expect(rig.image.calls == [.parts(end)])
        #expect(rig.resident == [2, 3, 4] && rig.pages.dirtyLimit.pages == 3)
        #expect(try rig.holds([(8192, Self.some(range))]))
        try rig.end()
    }

    /// A write over two chunks is right in both, and reads nothing. What of it begins with a chunk is dirty.
    @Test func twoChunks() throws {
        let rig = try rig(PartsImage(size: 2 << 20))
        let range: Range<Int64> = (768 << 10) + 512..<(1280 << 10) + 512
        try rig.write(Self.some(range), at: range.lowerBound)
        let calls: [PartsImage.Call] = [.parts(range.lowerBound..<1 << 20), .parts(1280 << 10..<range.upperBound)]
        #expect(rig.image.calls == calls)
        #expect(rig.pages.dirtyLimit.pages == 64)
        #expect(try rig.holds([(range.lowerBound, Self.some(range))]))
        try rig.end()
    }

    /// What is written again is filled, and costs no I/O from then on.
    @Test func theSecondTimeIsInMemory() throws {
        let rig = try rig()
        for round in 1...4 {
            let salt = round
            try rig.write(Self.some(Self.part, salt: salt), at: Self.part.lowerBound)
            let calls: [PartsImage.Call] = [.parts(Self.part), .read(8192..<12288)]
            #expect(rig.image.calls == Array(calls.prefix(round)))
            #expect(rig.pages.dirtyLimit.pages == min(round - 1, 1))
        }
        #expect(try rig.holds([(Self.part.lowerBound, Self.some(Self.part, salt: 4))]))
        try rig.end()
    }

    /// An end that is written again is filled, and what lies before it goes around.
    @Test func anEndThatIsWrittenAgain() throws {
        let rig = try rig()
        let end: Range<Int64> = 5 * 4096..<5 * 4096 + 512
        try rig.write(Self.some(end), at: end.lowerBound)
        try rig.write(Self.some(Self.wide), at: Self.wide.lowerBound)
        let (before, whole) = (Self.wide.lowerBound..<end.lowerBound, end.lowerBound..<6 * 4096)
        #expect(rig.image.calls == [.parts(end), .parts(before), .read(whole)])
        #expect(rig.resident == [2, 3, 4, 5] && rig.pages.dirtyLimit.pages == 1)
        #expect(try rig.holds([(Self.wide.lowerBound, Self.some(Self.wide))]))
        try rig.end()
    }

    /// The requests of a sequential writer, each of which ends inside a page and begins inside one, all go around.
    @Test func aSequentialWriter() throws {
        let rig = try rig()
        let requests = stride(from: 512, to: 8 * 4096, by: 4096).map { $0..<$0 + 4096 } as [Range<Int64>]
        for request in requests { try rig.write(Self.some(request), at: request.lowerBound) }
        #expect(rig.image.calls == requests.map { .parts($0) })
        #expect(try rig.holds([(512, Self.some(512..<requests.last!.upperBound))]))
        try rig.end()
    }

    /// If a page is written in small parts, it is filled with the second one, and the others cost no I/O.
    @Test func partsOneByOne() throws {
        let rig = try rig()
        let parts = stride(from: 8192, to: 12288, by: 512).map { $0..<$0 + 512 } as [Range<Int64>]
        for part in parts { try rig.write(Self.some(part), at: part.lowerBound) }
        #expect(rig.image.calls == [.parts(parts[0]), .read(8192..<12288)])
        #expect(try rig.holds([(8192, Self.some(8192..<12288))]))
        try rig.end()
    }

    /// What is zeroed inside a missing page goes around as zeroes.
    @Test func zeroes() throws {
        let rig = try rig()
        try rig.pager.zero(Self.part, mayTrim: true, onlyIfFast: false, forced: false)
        #expect(rig.image.calls == [.parts(Self.part)])
        try rig.pager.zero(Self.wide, mayTrim: true, onlyIfFast: false, forced: false)
        let ends: [PartsImage.Call] = [.parts(4608..<8192), .parts(20480..<Self.wide.upperBound)]
        let all = [.parts(Self.part), .zero(8192..<20480)] + ends
        #expect(rig.image.calls == all)
        #expect(try rig.holds([(Self.wide.lowerBound, [UInt8](repeating: 0, count: Self.wide.count))]))
        try rig.end()
    }

    /// An image that ends inside a page is written to its end.
    @Test func theEndOfTheImage() throws {
        let size: Int64 = 6 * 4096 + 1536
        let rig = try rig(PartsImage(size: size))
        let (last, wide) = (size - 512..<size, 3 * 4096 + 512..<size)
        try rig.write(Self.some(last, salt: 5), at: last.lowerBound)
        #expect(rig.image.calls == [.parts(last)])
        #expect(rig.resident.isEmpty)
        #expect(try rig.bytes(last) == Self.some(last, salt: 5))
        rig.recycleAll()
        let before = rig.image.calls.count
        try rig.write(Self.some(wide), at: wide.lowerBound)
        let later = Array(rig.image.calls.dropFirst(before))
        // The last page is written as far as there is one, so it need not be read, and stays.
        #expect(later == [.parts(wide.lowerBound..<6 * 4096)])
        #expect(rig.resident == [4, 5, 6])
        #expect(try rig.holds([(wide.lowerBound, Self.some(wide))]))
        try rig.end()
    }

    /// Each image has its own parts: the same part of another image is not written again.
    @Test func severalImages() throws {
        let images = (0..<3).map { _ in PartsImage() }
        let rig = try KeptRig(frames: 512, images: images)
        for (number, image) in images.enumerated() {
            try rig.write(UInt8(number + 1), at: Self.part, ofImage: number)
            #expect(image.calls == [.parts(Self.part)])
        }
        for (number, image) in images.enumerated() {
            #expect(image.bytes(Self.part) == [UInt8](repeating: UInt8(number + 1), count: 512))
            #expect(try rig.read(Self.part, ofImage: number) == image.bytes(Self.part))
            #expect(rig.providers[number].counters.writes == 1)
        }
        try rig.close()
    }

    // MARK: - What does not

    /// What is no whole unit, at its beginning or its end, has its page filled; and so has any part of an image without
    /// a unit.
    @Test(arguments: [(512 + 100, 512), (512, 100), (1, 511)] as [(Int64, Int)], [512, nil] as [Int?])
    func noWholeUnit(part: (begin: Int64, count: Int), unit: Int?) throws {
        let rig = try rig(PartsImage(unit: unit))
        let range = 8192 + part.begin..<8192 + part.begin + Int64(part.count)
        try rig.write(Self.some(range), at: range.lowerBound)
        #expect(rig.image.calls == [.read(8192..<12288)])
        #expect(rig.pages.dirtyLimit.pages == 1)
        #expect(try rig.holds([(range.lowerBound, Self.some(range))]))
        try rig.end()
    }

    /// An image without a unit, and one whose unit is larger than the part, are not written in parts.
    @Test(arguments: [nil, 1024, 2048] as [Int?]) func anotherUnit(unit: Int?) throws {
        let rig = try rig(PartsImage(unit: unit))
        try rig.write(Self.some(Self.part), at: Self.part.lowerBound)
        #expect(rig.image.calls == [.read(8192..<12288)])
        #expect(try rig.holds([(Self.part.lowerBound, Self.some(Self.part))]))
        try rig.end()
    }

    /// An image whose size is no multiple of the unit is not written in parts at its end.
    @Test func anOddEnd() throws {
        let size: Int64 = 4 * 4096 + 700
        let rig = try rig(PartsImage(size: size))
        let range = 4 * 4096 + 512..<size
        try rig.write(Self.some(range), at: range.lowerBound)
        #expect(rig.image.calls == [.read(16384..<size)])
        #expect(try rig.holds([(range.lowerBound, Self.some(range))]))
        try rig.end()
    }

    /// A page that is known to be zeroes needs no reading, and is not written around, at either end of a write.
    @Test(arguments: [2, 1, 5] as [UInt64]) func aKnownZero(page: UInt64) throws {
        let rig = try rig(PartsImage(holes: [page]))
        _ = try rig.bytes(Int64(page) * 4096..<Int64(page + 1) * 4096)
        #expect(rig.pages.counters.knownZeroes == 1)
        let range = page == 2 ? Self.part : Self.wide
        try rig.write(Self.some(range), at: range.lowerBound)
        for case .parts(let range) in rig.image.calls { #expect(!BasePage.numbers(covering: range).contains(page)) }
        #expect(rig.resident.contains(page) && rig.pages.counters.knownZeroes == 0)
        let zeroes = (Int64(page) * 4096, [UInt8](repeating: 0, count: 4096))
        #expect(try rig.holds([zeroes, (range.lowerBound, Self.some(range))]))
        try rig.end()
    }

    /// A resident page in the middle, clean or dirty, ends what goes around. Nothing is lost of it or of the write.
    @Test(arguments: [2, 3, 4, 5] as [UInt64], [false, true]) func aResidentPage(page: UInt64, isDirty: Bool) throws {
        let rig = try rig()
        let bytes = Int64(page) * 4096..<Int64(page + 1) * 4096
        if isDirty {
            try rig.write(Self.some(bytes, salt: 3), at: bytes.lowerBound)
        } else {
            _ = try rig.bytes(bytes)
        }
        let before = rig.image.calls.count
        try rig.write(Self.some(Self.wide), at: Self.wide.lowerBound)
        let tail: [PartsImage.Call] = page < 5 ? [.parts(20480..<Self.wide.upperBound)] : []
        let head: PartsImage.Call = .parts(Self.wide.lowerBound..<bytes.lowerBound)
        let later = Array(rig.image.calls.dropFirst(before))
        #expect(later == [head] + tail)
        let old: [(offset: Int64, bytes: [UInt8])] = isDirty ? [(bytes.lowerBound, Self.some(bytes, salt: 3))] : []
        #expect(try rig.holds(old + [(Self.wide.lowerBound, Self.some(Self.wide))]))
        try rig.end()
    }

    // MARK: - Failures

    /// A write that fails leaves nothing in memory. Its error is the writer's alone: a reader that has waited for a
    /// whole page of it reads the image.
    @Test(arguments: [false, true]) func aFailure(isAwaited: Bool) throws {
        let (gate, verdict) = (Gate(), Verdict())
        let image = PartsImage { call in
            guard case .parts = call else { return nil }
            if isAwaited { gate.pass() }
            return AccessError(ENOSPC)
        }
        let rig = try rig(image)
        Watchdog.guarding("a write that fails") {
            let writer = Companion {
                do {
                    try rig.write(Self.some(Self.wide), at: Self.wide.lowerBound)
                    verdict.blame("the write succeeds")
                } catch {
                    verdict.expect(error as? AccessError == AccessError(ENOSPC), "the error is another one")
                }
            }
            guard isAwaited else { return writer.join() }
            Thread.wait { gate.arrivals == 1 }
            let reader = Companion {
                let bytes = try? rig.bytes(3 * 4096..<4 * 4096)
                verdict.expect(bytes == [UInt8](repeating: 0xEE, count: 4096), "the reader has \(bytes?.first ?? 0)")
            }
            reader.waitUntilAsleep()
            verdict.expect(!reader.hasEnded, "a reader does not wait")
            gate.open()
            for thread in [writer, reader] { thread.join() }
        }
        verdict.report("a write that fails")
        let resident: [UInt64] = isAwaited ? [3] : []
        #expect(rig.resident == resident)
        #expect(rig.pages.counters.failedWrites == 1 && rig.pages.counters.writes == 0)
        #expect(rig.provider.counters.failedWrites == 1 && rig.pages.counters.failedFills == 0)
        #expect(try rig.holds([]))
        try rig.end()
    }

    /// After a failure the same write is tried again, and all of it is there then.
    @Test func anotherTry() throws {
        let rig = try rig()
        rig.image.fail(.parts(Self.wide))
        #expect(throws: AccessError(EIO)) { try rig.write(Self.some(Self.wide), at: Self.wide.lowerBound) }
        #expect(rig.resident.isEmpty)
        rig.image.fail(.parts(Self.wide), nil)
        try rig.write(Self.some(Self.wide), at: Self.wide.lowerBound)
        #expect(try rig.holds([(Self.wide.lowerBound, Self.some(Self.wide))]))
        try rig.end()
    }

    /// A page that cannot be read is written around part by part, however often: a bad sector is repaired by a write,
    /// and harms no write of its neighbours. A write that cannot go around has the read's error.
    @Test func aPageThatCannotBeRead() throws {
        let rig = try rig()
        rig.image.fail(.read(8192..<12288))
        let parts = [1, 2, 2, 5].map { 8192 + Int64($0) * 512..<8192 + Int64($0) * 512 + 512 } as [Range<Int64>]
        for (salt, part) in parts.enumerated() {
            try rig.write(Self.some(part, salt: salt), at: part.lowerBound)
            #expect(rig.image.calls.last == .parts(part) && rig.resident.isEmpty)
        }
        #expect(throws: AccessError(EIO)) { try rig.write([1], at: 8192) }
        rig.image.fail(.read(8192..<12288), nil)
        #expect(
            try rig.holds([0, 2, 3].map { (parts[$0].lowerBound, Self.some(parts[$0], salt: $0)) }))
        try rig.end()
    }

    /// The same while a reader waits for the page, and then tries to read it for itself.
    @Test func aPageThatCannotBeReadByOthers() throws {
        let (gates, reads, verdict) = ([Gate(), Gate()], Tally(), Verdict())
        let image = PartsImage { call in
            guard call == .read(8192..<12288) else { return nil }
            let number = reads.add()
            if number <= gates.count { gates[number - 1].pass() }
            return AccessError(EIO)
        }
        let rig = try rig(image)
        let (first, second) = (Self.part, Self.part.upperBound..<Self.part.upperBound + 512)
        try rig.write(Self.some(first), at: first.lowerBound)
        Watchdog.guarding("a page that cannot be read by others") {
            let writer = Companion {
                do {
                    try rig.write(Self.some(second), at: second.lowerBound)
                } catch {
                    verdict.blame("the write fails: \(error)")
                }
            }
            Thread.wait { gates[0].arrivals == 1 }
            let reader = Companion {
                verdict.expect((try? rig.bytes(8192..<12288)) == nil, "a reader has a page that cannot be read")
            }
            reader.waitUntilAsleep()
            gates[0].open()
            Thread.wait { gates[1].arrivals == 1 || reader.hasEnded }
            writer.waitUntilAsleep()
            gates[1].open()
            for thread in [writer, reader] { thread.join() }
        }
        verdict.report("a page that cannot be read by others")
        #expect(image.bytes(first.lowerBound..<second.upperBound) == Self.some(first.lowerBound..<second.upperBound))
        try rig.end()
    }

    // MARK: - What happens meanwhile

    /// Readers of a whole page and of a part's page wait while the write is under way, and get what it has written.
    @Test(arguments: [1, 3, 5] as [UInt64]) func readersWait(page: UInt64) throws {
        try meanwhile("a reader of page \(page)") { rig, verdict in
            let bytes = (Int64(page) * 4096..<Int64(page + 1) * 4096).clamped(to: Self.wide)
            let found = try? rig.bytes(bytes)
            verdict.expect(found == Self.some(bytes), "a reader finds older bytes")
        }
    }

    /// Another writer of a part's page, or of a whole page, waits, and its bytes are the newer ones.
    @Test(arguments: [1, 3, 5] as [Int64]) func writersWait(page: Int64) throws {
        let other = page * 4096 + 1024..<page * 4096 + 2048
        try meanwhile("a writer of page \(page)", [(other.lowerBound, Self.some(other, salt: 9))]) { rig, verdict in
            let isWritten = (try? rig.write(Self.some(other, salt: 9), at: other.lowerBound)) != nil
            verdict.expect(isWritten, "the other write fails")
        }
    }

    /// Does `body` beside a write, which it has to wait for, of `wide`. Afterwards the image holds that and `newer`.
    private func meanwhile(
        _ what: String, _ newer: [(offset: Int64, bytes: [UInt8])] = [],
        _ body: @escaping @Sendable (PartsRig, Verdict) -> Void
    ) throws {
        let (gate, verdict) = (Gate(), Verdict())
        let image = PartsImage { call in
            if call == .parts(Self.wide) { gate.pass() }
            return nil
        }
        let rig = try rig(image)
        Watchdog.guarding(what) {
            let writer = Companion { try? rig.write(Self.some(Self.wide), at: Self.wide.lowerBound) }
            Thread.wait { gate.arrivals == 1 }
            let other = Companion { body(rig, verdict) }
            other.waitUntilAsleep()
            verdict.expect(!other.hasEnded, "it does not wait")
            verdict.expect(image.calls == [.parts(Self.wide)], "the image is reached beside the write")
            gate.open()
            for thread in [writer, other] { thread.join() }
        }
        verdict.report(what)
        #expect(try rig.holds([(Self.wide.lowerBound, Self.some(Self.wide))] + newer))
        try rig.end()
    }

    /// The image is asked for holes while a part is written to one, and has not heard of the part. The answer comes
    /// before or after the end of the write, and makes nothing known.
    @Test(arguments: [false, true]) func anAnswerThatIsOutOfDate(isLate: Bool) throws {
        let (writing, answering) = (Gate(), Gate())
        let image = PartsImage(holes: [2]) { call in
            if case .parts = call { writing.pass() }
            if call == .answer, isLate { answering.pass() }
            return nil
        }
        let rig = try rig(image)
        Watchdog.guarding("an answer that is out of date") {
            let writer = Companion { try? rig.write(Self.some(Self.part), at: Self.part.lowerBound) }
            Thread.wait { writing.arrivals == 1 }
            let asking = Companion {
                let map = rig.pages.accessMap(ofImage: rig.provider.image)
                rig.provider.mapper.askForHole(at: 8192, in: map.chunk(of: 2))
            }
            if isLate { Thread.wait { answering.arrivals == 1 } } else { asking.join() }
            writing.open()
            writer.join()
            answering.open()
            if isLate { asking.join() }
        }
        #expect(image.calls == [.parts(Self.part)])
        #expect(rig.pages.counters.knownZeroes == 0)
        let zeroes = (Int64(8192), [UInt8](repeating: 0, count: 4096))
        #expect(try rig.holds([zeroes, (Self.part.lowerBound, Self.some(Self.part))]), "zeroes hide newer bytes")
        try rig.end()
    }

    // MARK: - Durability

    /// A write with FUA is synced, and a flush after any other is, though nothing is dirty.
    @Test(arguments: [false, true]) func isSynced(isForced: Bool) throws {
        let rig = try rig()
        try rig.write(Self.some(Self.part), at: Self.part.lowerBound, forced: isForced)
        let calls: [PartsImage.Call] = [.parts(Self.part), .sync]
        #expect(rig.image.calls == Array(calls.prefix(isForced ? 2 : 1)))
        if !isForced {
            try rig.pager.flush()
            #expect(rig.image.calls == calls)
        }
        try rig.end()
    }

    /// A failed sync may have lost the parts, of which nothing is in memory: no later flush succeeds. The whole pages
    /// between them are dirty again.
    @Test(arguments: [part, wide]) func aFailedSyncLosesIt(range: Range<Int64>) throws {
        let rig = try rig()
        try rig.write(Self.some(range), at: range.lowerBound)
        rig.image.fail(.sync)
        #expect(throws: AccessError(EIO)) { try rig.pager.flush() }
        rig.image.fail(.sync, nil)
        #expect(rig.provider.lost == AccessError(EIO))
        #expect(rig.pages.dirtyLimit.pages == range.wholePages(ofImage: rig.image.size).count)
        #expect(throws: AccessError(EIO)) { try rig.pager.flush() }
        #expect(rig.pages.dirtyLimit.pages == 0)
        #expect(throws: AccessError(EIO)) { try rig.registry.close(rig.provider) }
    }

    /// What a good sync has made durable, no later one loses.
    @Test func aGoodSyncCoversIt() throws {
        let rig = try rig()
        try rig.write(Self.some(Self.wide), at: Self.wide.lowerBound)
        try rig.pager.flush()
        rig.image.fail(.sync)
        #expect(throws: AccessError(EIO)) { try rig.provider.durability.sync() }
        #expect(rig.provider.lost == nil)
        rig.image.fail(.sync, nil)
        try rig.pager.flush()
        try rig.end()
    }

    // MARK: - A server that dies

    /// A sync fails while the write is under way: the whole pages are dirty when it ends.
    @Test func aSyncFailsMeanwhile() throws {
        let server = Guarded<PartsRig?>(nil)
        let image = PartsImage { call in
            guard case .parts = call, let rig = server.withLock({ $0 }) else { return nil }
            #expect(throws: AccessError(EIO)) { try rig.provider.durability.sync() }
            return nil
        }
        let rig = try rig(image)
        server.withLock { $0 = rig }
        image.fail(.sync)
        try rig.write(Self.some(Self.wide), at: Self.wide.lowerBound)
        #expect(rig.pages.dirtyLimit.pages == 3 && rig.pages.dirtyLimit.ofImage(rig.provider.image).unsynced == 0)
        image.fail(.sync, nil)
        #expect(throws: AccessError(EIO)) { try rig.pager.flush() }
        #expect(throws: AccessError(EIO)) { try rig.registry.close(rig.provider) }
        server.withLock { $0 = nil }
    }

    /// A server dies after its answer. The next one has nothing that is older, though the dead one had read it before.
    /// The whole pages are owed until they are durable.
    @Test func nothingOlderIsKept() throws {
        let image = PartsImage()
        let first = try KeptRig(frames: 512, images: [image])
        _ = try first.read(0..<image.size)
        if let region = first.pages.takeRegion(order: 0, room: 512) { first.pages.give(region) }
        try first.write(7, at: Self.wide)
        #expect(image.calls.last == .parts(Self.wide))
        let second = try KeptRig(after: first.death(), images: [image])
        #expect(second.takenOver[0].owedPages == Self.wide.wholePages(ofImage: image.size).count)
        #expect(try second.read(Self.wide) == [UInt8](repeating: 7, count: Self.wide.count))
        #expect(try second.read(0..<image.size) == image.bytes(0..<image.size))
        second.pages.checkInvariants(isQuiet: true)
        try second.close()
    }

    /// A server dies while it writes, and nothing has reached the image. The next one has nothing that is newer.
    @Test func nothingNewerIsKept() throws {
        let (dead, server) = (Guarded<KeptRig.Section?>(nil), Guarded<KeptRig?>(nil))
        let image = PartsImage { call in
            guard case .parts = call else { return nil }
            let section = server.withLock { $0!.death() }
            dead.withLock { $0 = section }
            return AccessError(EIO)
        }
        let first = try KeptRig(frames: 512, images: [image])
        server.withLock { $0 = first }
        #expect(throws: AccessError(EIO)) { try first.write(7, at: Self.wide) }
        let section = try #require(dead.withLock { $0 })
        let second = try KeptRig(after: section, images: [image])
        #expect(try second.read(0..<image.size) == [UInt8](repeating: 0xEE, count: Int(image.size)))
        second.pages.checkInvariants(isQuiet: true)
        try second.close()
        server.withLock { $0 = nil }
        try first.close()
    }
}
