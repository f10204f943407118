import Testing

@testable import flexpage

/// What a second tier holds and gives back.
@Suite struct CompressedTierTests {
    /// Takes of a page that compresses to almost nothing: what finds it, and a chunk.
    private static let least = 160

    private func tier(
        _ kinds: [ContentFile.Kind] = [.plain], bytes: Int = 100 * least, _ admission: TierAdmission = .all
    ) throws -> CompressedTier {
        CompressedTier(
            bytes: bytes, content: try ContentFile(kinds).content(), admission: admission)
    }

    @Test func whatAPageTakes() {
        #expect(CompressedTier.bytes(ofSize: 1) == 32 + 128 && CompressedTier.bytes(ofSize: 124) == 32 + 128)
        #expect(CompressedTier.bytes(ofSize: 125) == 32 + 2 * 128)
        #expect(CompressedTier.bytes(ofSize: 3072) == 32 + 25 * 128)
    }

    /// A page that is kept comes back once. Others have to be read.
    @Test func whatIsKeptComesBackOnce() throws {
        let tier = try tier()
        tier.keep(10..<12, ofImage: 0)
        #expect(tier.count == 2 && tier.bytesInUse == 2 * Self.least)
        #expect(tier.take(10..<11, ofImage: 0) == [])
        #expect(tier.take(11..<12, ofImage: 1) == [11..<12], "a page with the same number of another image is another")
        #expect(tier.count == 1 && tier.bytesInUse == Self.least)
        #expect(tier.take(11..<12, ofImage: 0) == [])
        #expect(tier.count == 0 && tier.bytesInUse == 0)
        tier.keep(10..<11, ofImage: 0)
        #expect(tier.take(10..<11, ofImage: 0) == [])
        #expect(tier.take(20..<21, ofImage: 0) == [20..<21])
        #expect(tier.work == TierWork(kept: 3, refused: 0, taken: 3))
    }

    /// What came first goes first, and never is more held than there is room for. To come again is to come last.
    @Test func theOldestGoes() throws {
        let tier = try tier(bytes: 3 * Self.least + 10)
        for page: UInt64 in [0, 1, 2] { tier.keep(page..<page + 1, ofImage: 0) }
        _ = tier.take(0..<1, ofImage: 0)
        tier.keep(0..<1, ofImage: 0)
        tier.keep(3..<4, ofImage: 0)
        #expect(tier.count == 3 && tier.bytesInUse <= tier.bytes)
        #expect(tier.take(1..<2, ofImage: 0) == [1..<2])
        for page: UInt64 in [2, 0, 3] { #expect(tier.take(page..<page + 1, ofImage: 0) == []) }
    }

    /// Thousands come and go in any order, and what it has is what a simple list of them has.
    @Test func agreesWithAList() throws {
        let tier = try tier([.plain, .random, .zeroes], bytes: 50 * Self.least)
        var list: [UInt64] = []
        // What the pager has: all that was read and has not been recycled since, but no zeroes.
        var resident: Set<UInt64> = []
        for step: UInt64 in 0..<5000 {
            let page = step &* step % 197
            let isThere = list.contains(page) || resident.contains(page)
            #expect(tier.take(page..<page + 1, ofImage: 0) == (isThere ? [] : [page..<page + 1]))
            list.removeAll { $0 == page }
            if page % 3 != 2 { resident.insert(page) }
            let recycled = step &* 31 % 197
            tier.keep(recycled..<recycled + 1, ofImage: 0)
            list.removeAll { $0 == recycled }
            resident.remove(recycled)
            if recycled % 3 == 0 { list.append(recycled) }
            if list.count > 50 { list.removeFirst() }
            #expect(tier.count == list.count && tier.bytesInUse == list.count * Self.least)
        }
    }

    /// Random pages are compressed in vain. Zeroes are never compressed, because the pager keeps none.
    @Test func whatDoesNotCompressIsNotKept() throws {
        let tier = try tier([.random, .zeroes, .plain])
        tier.keep(0..<9, ofImage: 0)
        #expect(tier.count == 3 && tier.work == TierWork(kept: 3, refused: 3, taken: 0))
        #expect(tier.take(0..<1, ofImage: 0) == [0..<1] && tier.take(2..<3, ofImage: 0) == [])
    }

    /// What has not been hit in the pager is not even compressed, if only pages of main are wanted.
    @Test func onlyPagesOfMain() throws {
        let tier = try tier([.plain], .main)
        tier.keep(0..<4, ofImage: 0, areProven: false)
        tier.keep(4..<6, ofImage: 0, areProven: true)
        #expect(tier.count == 2 && tier.work == TierWork(kept: 2))
        #expect(tier.take(0..<6, ofImage: 0) == [0..<4])
    }

    /// A tier without room for one page compresses all the same, and has nothing.
    @Test func noRoomForOne() throws {
        let tier = try tier(bytes: Self.least - 1)
        tier.keep(0..<5, ofImage: 0)
        #expect(tier.count == 0 && tier.bytesInUse == 0 && tier.work.kept == 5)
    }

    /// A read leaves out what the tier has at its ends and in long gaps. It passes over short ones.
    @Test func readsOfSeveralPages() throws {
        let tier = try tier()
        // The pager has had pages 0 to 63, and has recycled all but four of them.
        _ = tier.take(0..<64, ofImage: 0)
        tier.keep(0..<64, ofImage: 0)
        #expect(tier.take(0..<64, ofImage: 0) == [], "nothing is read")
        #expect(tier.work.taken == 64)
        tier.keep(0..<64, ofImage: 0)
        tier.forget(4 * 4096..<5 * 4096, ofImage: 0)
        tier.forget(13 * 4096..<14 * 4096, ofImage: 0)
        tier.forget(40 * 4096..<42 * 4096, ofImage: 0)
        #expect(tier.take(0..<64, ofImage: 0) == [4..<14, 40..<42], "8 pages are read over, 26 are not")
        #expect(tier.work.taken == 64 + 64 - 12 && tier.count == 0)
    }

    /// Pages that the pager has, and reads over, are no reason to read.
    @Test func pagesThatThePagerHas() throws {
        let tier = try tier()
        _ = tier.take(0..<8, ofImage: 0)
        tier.keep(0..<3, ofImage: 0)
        tier.keep(6..<8, ofImage: 0)
        #expect(tier.take(0..<8, ofImage: 0) == [])
        #expect(tier.work.taken == 5)
    }

    /// Zeroes that the pager no longer knows of are read again, because it has never kept them.
    @Test func zeroesAreReadAgain() throws {
        let tier = try tier([.zeroes])
        for _ in 0..<2 { #expect(tier.take(0..<4, ofImage: 0) == [0..<4]) }
    }

    /// A write makes whole pages out of date; those that it changes in part are read first.
    @Test func aWriteMakesPagesOutOfDate() throws {
        let tier = try tier()
        tier.keep(0..<4, ofImage: 0)
        tier.forget(100..<3 * 4096 + 5, ofImage: 0)
        #expect(tier.count == 2)
        #expect(tier.take(0..<4, ofImage: 0) == [1..<3])
        tier.keep(0..<1, ofImage: 0)
        tier.forget(1..<100, ofImage: 0)
        tier.forget(0..<4096, ofImage: 1)
        #expect(tier.count == 1)
    }
}
